//! The types that every PostgreSQL from 15 to 18 has under a fixed OID (pg_type.dat), and how each is masked.
//!
//! What is not in this table and not in the catalog of the target is unknown, and an unknown type is masked to NULL: among
//! them are row types of system catalogs, pseudo-types and the internal types of statistics.

use crate::types::ScalarKind::*;
use crate::types::Shape::{self, Array, Multirange, Range, Scalar};

/// The shape of the built-in type `oid`.
pub(crate) fn shape(oid: u32) -> Option<Shape> {
    let at = BUILTIN.binary_search_by_key(&oid, |(known, _)| *known).ok()?;
    BUILTIN.get(at).map(|(_, shape)| shape.clone())
}

/// By OID, ascending.
#[rustfmt::skip]
const BUILTIN: &[(u32, Shape)] = &[
    (16, Scalar(Bool)), // bool
    (17, Scalar(Bytea)), // bytea
    (18, Scalar(Char)), // char
    (19, Scalar(Name)), // name
    (20, Scalar(Int8)), // int8
    (21, Scalar(Int2)), // int2
    (22, Scalar(Int2Vector)), // int2vector
    (23, Scalar(Int4)), // int4
    (24, Scalar(Reg)), // regproc
    (25, Scalar(Text)), // text
    (26, Scalar(Oid)), // oid
    (27, Scalar(Tid)), // tid
    (28, Scalar(Xid)), // xid
    (29, Scalar(Xid)), // cid
    (30, Scalar(OidVector)), // oidvector
    (114, Scalar(Json)), // json
    (142, Scalar(Xml)), // xml
    (143, Array(142)), // _xml
    (194, Scalar(Text)), // pg_node_tree
    (199, Array(114)), // _json
    (210, Array(71)), // _pg_type
    (270, Array(75)), // _pg_attribute
    (271, Array(5069)), // _xid8
    (272, Array(81)), // _pg_proc
    (273, Array(83)), // _pg_class
    (600, Scalar(Point)), // point
    (601, Scalar(Lseg)), // lseg
    (602, Scalar(Path)), // path
    (603, Scalar(Box)), // box
    (604, Scalar(Polygon)), // polygon
    (628, Scalar(Line)), // line
    (629, Array(628)), // _line
    (650, Scalar(Cidr)), // cidr
    (651, Array(650)), // _cidr
    (700, Scalar(Float4)), // float4
    (701, Scalar(Float8)), // float8
    (705, Scalar(Text)), // unknown
    (718, Scalar(Circle)), // circle
    (719, Array(718)), // _circle
    (774, Scalar(MacAddr8)), // macaddr8
    (775, Array(774)), // _macaddr8
    (790, Scalar(Money)), // money
    (791, Array(790)), // _money
    (829, Scalar(MacAddr)), // macaddr
    (869, Scalar(Inet)), // inet
    (1000, Array(16)), // _bool
    (1001, Array(17)), // _bytea
    (1002, Array(18)), // _char
    (1003, Array(19)), // _name
    (1005, Array(21)), // _int2
    (1006, Array(22)), // _int2vector
    (1007, Array(23)), // _int4
    (1008, Array(24)), // _regproc
    (1009, Array(25)), // _text
    (1010, Array(27)), // _tid
    (1011, Array(28)), // _xid
    (1012, Array(29)), // _cid
    (1013, Array(30)), // _oidvector
    (1014, Array(1042)), // _bpchar
    (1015, Array(1043)), // _varchar
    (1016, Array(20)), // _int8
    (1017, Array(600)), // _point
    (1018, Array(601)), // _lseg
    (1019, Array(602)), // _path
    (1020, Array(603)), // _box
    (1021, Array(700)), // _float4
    (1022, Array(701)), // _float8
    (1027, Array(604)), // _polygon
    (1028, Array(26)), // _oid
    (1034, Array(1033)), // _aclitem
    (1040, Array(829)), // _macaddr
    (1041, Array(869)), // _inet
    (1042, Scalar(BpChar)), // bpchar
    (1043, Scalar(VarChar)), // varchar
    (1082, Scalar(Date)), // date
    (1083, Scalar(Time)), // time
    (1114, Scalar(Timestamp)), // timestamp
    (1115, Array(1114)), // _timestamp
    (1182, Array(1082)), // _date
    (1183, Array(1083)), // _time
    (1184, Scalar(TimestampTz)), // timestamptz
    (1185, Array(1184)), // _timestamptz
    (1186, Scalar(Interval)), // interval
    (1187, Array(1186)), // _interval
    (1231, Array(1700)), // _numeric
    (1263, Array(2275)), // _cstring
    (1266, Scalar(TimeTz)), // timetz
    (1270, Array(1266)), // _timetz
    (1560, Scalar(Bit)), // bit
    (1561, Array(1560)), // _bit
    (1562, Scalar(VarBit)), // varbit
    (1563, Array(1562)), // _varbit
    (1700, Scalar(Numeric)), // numeric
    (1790, Scalar(Text)), // refcursor
    (2201, Array(1790)), // _refcursor
    (2202, Scalar(Reg)), // regprocedure
    (2203, Scalar(Reg)), // regoper
    (2204, Scalar(Reg)), // regoperator
    (2205, Scalar(Reg)), // regclass
    (2206, Scalar(Reg)), // regtype
    (2207, Array(2202)), // _regprocedure
    (2208, Array(2203)), // _regoper
    (2209, Array(2204)), // _regoperator
    (2210, Array(2205)), // _regclass
    (2211, Array(2206)), // _regtype
    (2249, Scalar(Record)), // record
    (2275, Scalar(Text)), // cstring
    (2277, Array(25)), // anyarray, as in pg_stats: of text when it holds nothing
    (2278, Scalar(Void)), // void
    (2287, Array(2249)), // _record
    (2949, Array(2970)), // _txid_snapshot
    (2950, Scalar(Uuid)), // uuid
    (2951, Array(2950)), // _uuid
    (2970, Scalar(Snapshot)), // txid_snapshot
    (3220, Scalar(PgLsn)), // pg_lsn
    (3221, Array(3220)), // _pg_lsn
    (3614, Scalar(TsVector)), // tsvector
    (3615, Scalar(TsQuery)), // tsquery
    (3643, Array(3614)), // _tsvector
    (3644, Array(3642)), // _gtsvector
    (3645, Array(3615)), // _tsquery
    (3734, Scalar(Reg)), // regconfig
    (3735, Array(3734)), // _regconfig
    (3769, Scalar(Reg)), // regdictionary
    (3770, Array(3769)), // _regdictionary
    (3802, Scalar(Jsonb)), // jsonb
    (3807, Array(3802)), // _jsonb
    (3904, Range), // int4range
    (3905, Array(3904)), // _int4range
    (3906, Range), // numrange
    (3907, Array(3906)), // _numrange
    (3908, Range), // tsrange
    (3909, Array(3908)), // _tsrange
    (3910, Range), // tstzrange
    (3911, Array(3910)), // _tstzrange
    (3912, Range), // daterange
    (3913, Array(3912)), // _daterange
    (3926, Range), // int8range
    (3927, Array(3926)), // _int8range
    (4072, Scalar(JsonPath)), // jsonpath
    (4073, Array(4072)), // _jsonpath
    (4089, Scalar(Reg)), // regnamespace
    (4090, Array(4089)), // _regnamespace
    (4096, Scalar(Reg)), // regrole
    (4097, Array(4096)), // _regrole
    (4191, Scalar(Reg)), // regcollation
    (4192, Array(4191)), // _regcollation
    (4451, Multirange), // int4multirange
    (4532, Multirange), // nummultirange
    (4533, Multirange), // tsmultirange
    (4534, Multirange), // tstzmultirange
    (4535, Multirange), // datemultirange
    (4536, Multirange), // int8multirange
    (5038, Scalar(Snapshot)), // pg_snapshot
    (5039, Array(5038)), // _pg_snapshot
    (5069, Scalar(Xid8)), // xid8
    (6150, Array(4451)), // _int4multirange
    (6151, Array(4532)), // _nummultirange
    (6152, Array(4533)), // _tsmultirange
    (6153, Array(4534)), // _tstzmultirange
    (6155, Array(4535)), // _datemultirange
    (6157, Array(4536)), // _int8multirange
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascending_and_every_element_is_known() {
        assert!(BUILTIN.is_sorted_by(|a, b| a.0 < b.0));
        for (oid, shape) in BUILTIN {
            if let Array(element) = shape {
                // Arrays of catalog rows and of statistics keep their own mask, which needs no element.
                let of_catalog_rows = matches!(element, 71 | 75 | 81 | 83 | 1033 | 3642);
                assert!(of_catalog_rows || super::shape(*element).is_some(), "{oid}");
            }
        }
    }
}
