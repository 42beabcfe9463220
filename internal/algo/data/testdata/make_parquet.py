# SPDX-License-Identifier: Apache-2.0
"""Writes the Parquet files of this folder: python make_parquet.py FOLDER. Made with pyarrow 26.0.1, pandas 3."""

import pyarrow as pa, pyarrow.parquet as pq, pandas as pd, numpy as np, decimal, sys, os
out=sys.argv[1]
n=7
D=decimal.Decimal
t=pa.table({
 'label':pa.array([0,1,0,1,1,0,1],pa.int64()),
 'b':pa.array([True,False,None,True,True,False,False]),
 'i8':pa.array([-128,127,0,1,None,5,6],pa.int8()),
 'u8':pa.array([0,255,1,2,3,None,5],pa.uint8()),
 'i32':pa.array([-2147483648,2147483647,0,1,2,3,4],pa.int32()),
 'u32':pa.array([0,4294967295,1,2,3,4,5],pa.uint32()),
 'i64':pa.array([-(1<<40),1<<40,0,None,2,3,4],pa.int64()),
 'u64':pa.array([0,(1<<64)-1,1,2,3,4,5],pa.uint64()),
 'f16':pa.array(np.array([0.5,-2,65504,6e-8,1,np.nan,3],np.float16)),
 'f32':pa.array([0.1,None,float('nan'),-3e38,1e-40,2.5,7],pa.float32()),
 'f64':pa.array([0.1,1e30,None,-2,3,4,5],pa.float64()),
 'd9':pa.array([D('1.25'),D('-3.50'),None,D('0.01'),D('4.00'),D('5.00'),D('9999999.99')],pa.decimal128(9,2)),
 'd30':pa.array([D('123456789012345678901.5'),D('-1.5'),None,D('0'),D('1'),D('2'),D('3')],pa.decimal128(30,1)),
 'z':pa.nulls(n),
})
pq.write_table(t,out+'/types.parquet',row_group_size=3,compression='zstd')
pq.write_table(t,out+'/types-old.parquet',version='1.0',compression='gzip',use_dictionary=False,data_page_version='2.0')
df=pd.DataFrame({'y':[1.,0,1],'a':[1,2,3],'b':[.5,None,2]},index=pd.Index([10,20,30]))
df.to_parquet(out+'/frame.parquet')
pq.write_table(pa.table({'y':[1,0],'s':['a','b']}),out+'/text.parquet')
pq.write_table(pa.table({'y':[1,0],'l':[[1.,2.],[3.]]}),out+'/list.parquet')
pq.write_table(pa.table({'y':[1,0],'t':pa.array([1,2],pa.timestamp('ms'))}),out+'/time.parquet')
