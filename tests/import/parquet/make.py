"""Writes the files of this folder with pyarrow: `python make.py`. See README.md."""

import datetime as dt
import decimal
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

D = decimal.Decimal
UTC = dt.timezone.utc


def write(name, columns, **options):
    names, arrays = zip(*columns)
    pq.write_table(pa.table(arrays, names=names), name, **options)


write("scalars.parquet", [
    ("flag", pa.array([True, None, False])),
    ("i8", pa.array([-128, None, 127], pa.int8())),
    ("i16", pa.array([-32768, None, 32767], pa.int16())),
    ("i32", pa.array([-(2**31), None, 2**31 - 1], pa.int32())),
    ("i64", pa.array([-(2**63), None, 2**63 - 1], pa.int64())),
    ("u8", pa.array([0, None, 255], pa.uint8())),
    ("u16", pa.array([0, None, 65535], pa.uint16())),
    ("u32", pa.array([0, None, 2**32 - 1], pa.uint32())),
    ("u64", pa.array([0, None, 2**64 - 1], pa.uint64())),
    ("f16", pa.array([1.5, None, -0.25], pa.float32()).cast(pa.float16())),
    ("f32", pa.array([0.5, None, -1e30], pa.float32())),
    ("f64", pa.array([0.1, None, 1e300], pa.float64())),
    ("text", pa.array(["", None, "größe 😀"])),
    ("large", pa.array(["x", None, "y"], pa.large_string())),
    ("bytes", pa.array([b"plain", None, b"ascii"])),
    ("choice", pa.array(["red", None, "red"]).dictionary_encode()),
    ("fixed", pa.array([b"abcd", None, b"wxyz"], pa.binary(4))),
    ("nothing", pa.array([None, None, None], pa.null())),
    ("day", pa.array([dt.date(1970, 1, 2), None, dt.date(2026, 3, 1)])),
    ("s", pa.array([0, None, 1_700_000_000], pa.timestamp("s"))),
    ("ms", pa.array([-1, None, 1_700_000_000_123], pa.timestamp("ms", "UTC"))),
    ("us", pa.array([-1, None, 1_700_000_000_123_456], pa.timestamp("us", "Europe/Berlin"))),
    ("ns", pa.array([-1, None, 1_700_000_000_123_456_789], pa.timestamp("ns"))),
    ("clock_ms", pa.array([0, None, 86_399_999], pa.time32("ms"))),
    ("clock_us", pa.array([1, None, 86_399_999_999], pa.time64("us"))),
    ("clock_ns", pa.array([1_999, None, 86_399_999_999_999], pa.time64("ns"))),
], version="2.6")

write("int96.parquet", [
    ("at", pa.array([0, None, 1_700_000_000_123_456_789, -1], pa.timestamp("ns"))),
    ("n", pa.array([1, 2, 3, 4])),
], use_deprecated_int96_timestamps=True)

prices = [D("123.45"), None, D("-0.01"), D("99999.99")]
for name, type_, options in [
    ("decimal_int32", pa.decimal128(7, 2), {"store_decimal_as_integer": True}),
    ("decimal_int64", pa.decimal128(18, 2), {"store_decimal_as_integer": True}),
    ("decimal_fixed", pa.decimal128(38, 2), {}),
]:
    write(f"{name}.parquet", [
        ("price", pa.array(prices, type_)),
        ("whole", pa.array([D(7), None, D(-8), D(99999)], pa.decimal128(type_.precision, 0))),
    ], **options)
write("decimal_long.parquet", [
    ("price", pa.array([D("12345678901234567890123456.789"), None], pa.decimal128(38, 3))),
    ("whole", pa.array([D(10**30), D(5)], pa.decimal128(38, 0))),
])

write("nested.parquet", [
    ("id", pa.array([1, 2, 3, 4])),
    ("tags", pa.array([["a", "b\"c"], [], None, ["d", None]], pa.list_(pa.string()))),
    ("numbers", pa.array([[1, 2], None, [], [3]], pa.list_(pa.int64()))),
    ("deep", pa.array([[["x"], []], None, [None, ["y", "z"]], []], pa.list_(pa.list_(pa.string())))),
    ("user", pa.array([
        {"name": "Ada", "home": {"city": "London", "since": dt.date(1840, 1, 1)}, "roles": ["x"]},
        {"name": None, "home": None, "roles": None}, None,
        {"name": "Alan", "home": {"city": None, "since": None}, "roles": []},
    ], pa.struct([("name", pa.string()), ("home", pa.struct([("city", pa.string()), ("since", pa.date32())])),
                  ("roles", pa.list_(pa.string()))]))),
    ("items", pa.array([
        [{"sku": "a", "count": 1, "at": [1.5]}, {"sku": None, "count": 2, "at": None}], [], None,
        [{"sku": "b", "count": None, "at": []}, None],
    ], pa.list_(pa.struct([("sku", pa.string()), ("count", pa.int32()), ("at", pa.list_(pa.float64()))])))),
    ("labels", pa.array([[("k", "v"), ("l", None)], [], None, [("m", "w")]], pa.map_(pa.string(), pa.string()))),
    ("by_number", pa.array([[(7, [1])], None, [], [(8, None)]], pa.map_(pa.int32(), pa.list_(pa.int32())))),
])

# several row groups and pages, every codec, dictionaries that overflow into plain pages, version 2 pages
rows = 1_500
mixed = [
    ("n", pa.array(range(rows))),
    ("low", pa.array([f"v{i % 7}" if i % 5 else None for i in range(rows)])),
    ("high", pa.array([f"text {i * 7919 % 1499}" for i in range(rows)])),
    ("value", pa.array([i / 8 if i % 10 == 0 else None for i in range(rows)])),
]
for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    write(f"pages_{codec}.parquet", mixed[:2] if codec != "zstd" else mixed, compression=codec, row_group_size=700,
          data_page_size=700, dictionary_pagesize_limit=4_000,
          data_page_version="2.0" if codec in ("zstd", "snappy") else "1.0")
# we unpack this codec ourselves, so it is there in both versions
write("pages_brotli_v2.parquet", mixed, compression="brotli", row_group_size=700, data_page_size=700,
      dictionary_pagesize_limit=4_000, data_page_version="2.0")
write("delta.parquet", mixed[:3], use_dictionary=False, compression="zstd", row_group_size=700,
      column_encoding={"n": "DELTA_BINARY_PACKED", "low": "DELTA_BYTE_ARRAY", "high": "DELTA_LENGTH_BYTE_ARRAY"})

write("logical.parquet", [
    ("id", pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2**127).bytes], pa.binary(16)).cast(pa.uuid())),
    ("doc", pa.array(['{"a":{"b":1},"c":["x"]}', "[1]"], pa.string()).cast(pa.json_())),
])
write("binary.parquet", [("n", pa.array([1, 2])), ("blob", pa.array([b"ok", b"\xff\xfe"]))])
write("nan.parquet", [("n", pa.array([1])), ("nan", pa.array([float("nan")]))])
