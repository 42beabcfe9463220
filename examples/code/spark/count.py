# SPDX-License-Identifier: Apache-2.0
"""Counts labels with Spark; run by PySparkProcessor."""

import argparse

from pyspark.sql import SparkSession

parser = argparse.ArgumentParser()
parser.add_argument("--input")
parser.add_argument("--output")
args = parser.parse_args()

spark = SparkSession.builder.appName("count").getOrCreate()
table = spark.read.csv(args.input, header=True, inferSchema=True)
counts = table.groupBy("label").count().orderBy("count")
counts.show()
counts.coalesce(1).write.mode("overwrite").csv(args.output, header=True)
spark.stop()
