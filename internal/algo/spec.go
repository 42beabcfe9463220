// SPDX-License-Identifier: Apache-2.0

package algo

// IntParam is an integer within [least, most]; nil is no bound. Its default is
// def, "" for none.
func IntParam(name, def string, least, most *float64, doc string) Param {
	return Param{Name: name, Kind: Int, Default: def, Min: least, Max: most, Doc: doc}
}

// FloatParam is a number within [least, most]; nil is no bound.
func FloatParam(name, def string, least, most *float64, doc string) Param {
	return Param{Name: name, Kind: Float, Default: def, Min: least, Max: most, Doc: doc}
}

// EnumParam is one of values.
func EnumParam(name, def, doc string, values ...string) Param {
	return Param{Name: name, Kind: Enum, Default: def, Values: values, Doc: doc}
}

// BoolParam is true or false.
func BoolParam(name, def, doc string) Param {
	return Param{Name: name, Kind: Bool, Default: def, Doc: doc}
}

// TextParam is any text.
func TextParam(name, def, doc string) Param {
	return Param{Name: name, Kind: String, Default: def, Doc: doc}
}

// ListParam is a list of values, of anything when there are none.
func ListParam(name, def, doc string, values ...string) Param {
	return Param{Name: name, Kind: List, Default: def, Values: values, Doc: doc}
}

// Needed is q, which must be given.
func (q Param) Needed() Param { q.Required = true; return q }

// OrAuto is q with "auto" as a further value.
func (q Param) OrAuto() Param { q.Auto = true; return q }

// Above is q without its least value.
func (q Param) Above() Param { q.OpenMin = true; return q }

// Below is q without its greatest value.
func (q Param) Below() Param { q.OpenMax = true; return q }

// Tuned is q as one that a tuning job may search, in [least, most] where the
// user leaves the range to Autotune.
func (q Param) Tuned(least, most float64) Param {
	q.Tunable, q.Tune = true, &TuneRange{least, most}
	return q
}

// TunedChoice is the enumeration or boolean q as one that a tuning job may search.
func (q Param) TunedChoice() Param { q.Tunable = true; return q }

// Known is q under further names.
func (q Param) Known(as ...string) Param { q.Alias = as; return q }
