-- A table of each type that a restore makes binary, with the ends of the type and values all over it.
-- :count rows each.
CREATE FUNCTION r() RETURNS float8 LANGUAGE sql VOLATILE AS 'SELECT random()';
CREATE FUNCTION random_text(int) RETURNS text LANGUAGE sql VOLATILE AS
    $$ SELECT string_agg(chr(CASE WHEN random() < 0.2 THEN (ARRAY[8, 9, 10, 11, 12, 13, 92, 34, 39, 46])[1 + floor(random() * 10)::int]
        WHEN random() < 0.8 THEN 32 + floor(random() * 95)::int ELSE 160 + floor(random() * 50000)::int END), '') FROM generate_series(1, floor(random() * $1)::int) $$;
-- Two of some thousand texts, as each by itself takes long.
CREATE TEMPORARY TABLE texts AS SELECT n, random_text(20) AS v FROM generate_series(0, 4999) n;
CREATE UNIQUE INDEX ON texts (n);
CREATE FUNCTION s(int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
    DECLARE one int := floor(random() * 5000); other int := floor(random() * 5000);
    BEGIN RETURN left((SELECT v FROM texts WHERE n = one) || (SELECT v FROM texts WHERE n = other), $1); END $$;
CREATE TYPE mood AS ENUM ('happy', 'sad', E'back\\slash', E'tab\there', '', 'ünïcode');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN more AS positive NOT NULL;
SET extra_float_digits = 3;
SET timezone = 'Europe/Amsterdam';

CREATE TABLE v_bool AS SELECT n AS id, CASE WHEN n % 7 > 0 THEN r() < 0.5 END AS v FROM generate_series(1, :count) n;
CREATE TABLE v_int2 AS SELECT n AS id, (floor(r() * 65536) - 32768)::int2 AS v FROM generate_series(1, :count) n;
INSERT INTO v_int2 VALUES (0, -32768), (0, 32767), (0, 0), (0, NULL), (0, -1);
CREATE TABLE v_int4 AS SELECT n AS id, (floor(r() * 4294967296) - 2147483648)::int4 AS v FROM generate_series(1, :count) n;
INSERT INTO v_int4 VALUES (0, -2147483648), (0, 2147483647), (0, 0), (0, NULL);
CREATE TABLE v_int8 AS SELECT n AS id, ((r() - 0.5) * 10 ^ floor(r() * 19))::int8 AS v FROM generate_series(1, :count) n;
INSERT INTO v_int8 VALUES (0, -9223372036854775808), (0, 9223372036854775807), (0, NULL);
CREATE TABLE v_float4 AS SELECT n AS id, ((r() - 0.5) * 10 ^ floor(r() * 76 - 38))::float4 AS v FROM generate_series(1, :count) n;
INSERT INTO v_float4 VALUES (0, 'NaN'), (0, 'Infinity'), (0, '-Infinity'), (0, '-0'), (0, 1e-45), (0, 3.4028235e38), (0, NULL);
CREATE TABLE v_float8 AS SELECT n AS id, (r() - 0.5) * 10 ^ floor(r() * 614 - 307) AS v FROM generate_series(1, :count) n;
INSERT INTO v_float8 VALUES (0, 'NaN'), (0, 'Infinity'), (0, '-Infinity'), (0, '-0'), (0, 5e-324), (0, 1.7976931348623157e308), (0, NULL);
CREATE TABLE v_numeric AS SELECT n AS id, round((r() - 0.5)::numeric * 10::numeric ^ floor(r() * 60)::int, floor(r() * 40)::int) AS v FROM generate_series(1, :count) n;
INSERT INTO v_numeric VALUES (0, 'NaN'), (0, 0), (0, '0.0000'), (0, '-0.00'), (0, 1), (0, 10000), (0, '100000000.00010000'), (0, '0.00000000000000001'),
    (0, ('9' || repeat('0', 131071))::numeric), (0, ('0.' || repeat('0', 16382) || '1')::numeric), (0, repeat('1234567890', 300)::numeric), (0, NULL);
CREATE TABLE v_money AS SELECT n AS id, round((r() * 1e9)::numeric, 2)::numeric(14, 2) AS v FROM generate_series(1, :count) n;
CREATE TABLE v_text AS SELECT n AS id, s(40) AS v FROM generate_series(1, :count) n;
INSERT INTO v_text VALUES (0, ''), (0, '\N'), (0, E'\\'), (0, E'\\.'), (0, E'a\nb\tc\rd\be\ff\vg'), (0, NULL), (0, repeat(E'x\\', 100000)), (0, 'PGCOPY');
CREATE TABLE v_varchar AS SELECT n AS id, left(s(20), 10)::varchar(10) AS v FROM generate_series(1, :count) n;
CREATE TABLE v_bpchar AS SELECT n AS id, left(s(20), 10)::char(10) AS v FROM generate_series(1, :count) n;
CREATE TABLE v_json AS SELECT n AS id, json_build_object('k', s(20), 'n', r()) AS v FROM generate_series(1, :count) n;
CREATE TABLE v_jsonb AS SELECT n AS id, jsonb_build_object('k', s(20), 'n', r(), 'a', ARRAY[n, -n]) AS v FROM generate_series(1, :count) n;
INSERT INTO v_jsonb VALUES (0, 'null'), (0, '1e400'), (0, '""'), (0, '[]'), (0, NULL);
CREATE TABLE v_bytea AS SELECT n AS id, decode(md5(n::text) || md5(r()::text), 'hex') AS v FROM generate_series(1, :count) n;
INSERT INTO v_bytea VALUES (0, ''), (0, '\x00'), (0, '\x5c780a09'), (0, NULL), (0, decode(repeat('00ff5c', 300000), 'hex'));
CREATE TABLE v_uuid AS SELECT n AS id, md5(n::text || r())::uuid AS v FROM generate_series(1, :count) n;
CREATE TABLE v_date AS SELECT n AS id, '2000-01-01'::date + greatest(-2451545, floor((r() - 0.5) * 10 ^ floor(r() * 10))::int) AS v FROM generate_series(1, :count) n;
INSERT INTO v_date VALUES (0, 'infinity'), (0, '-infinity'), (0, '4713-01-01 BC'), (0, '0001-12-31 BC'), (0, '0001-01-01'), (0, '5874897-12-31'), (0, '2000-02-29'), (0, NULL);
INSERT INTO v_date SELECT 0, '1583-01-01'::date + n FROM generate_series(1, 3000) n;
INSERT INTO v_date SELECT 0, '0400-12-31 BC'::date + n FROM generate_series(1, 1500) n;
CREATE TABLE v_timestamp AS SELECT n AS id, '2000-01-01'::timestamp + greatest(-211813300000, (r() - 0.5) * 10 ^ floor(r() * 14)) * interval '1 second' AS v FROM generate_series(1, :count) n;
INSERT INTO v_timestamp VALUES (0, 'infinity'), (0, '-infinity'), (0, '4713-01-01 00:00:00 BC'), (0, '0001-12-31 23:59:59.999999 BC'), (0, '294276-12-31 23:59:59.999999'),
    (0, '12345-06-07 08:09:10.1'), (0, '1999-12-31 23:59:59.000001'), (0, NULL);
CREATE TABLE v_timestamptz AS SELECT n AS id, '2000-01-01'::timestamptz + greatest(-211813300000, (r() - 0.5) * 10 ^ floor(r() * 14)) * interval '1 second' AS v FROM generate_series(1, :count) n;
INSERT INTO v_timestamptz VALUES (0, 'infinity'), (0, '-infinity'), (0, '4713-01-02 00:00:00+00 BC'), (0, '1883-11-18 12:03:58+00'), (0, '1937-06-30 23:59:59.5+00'),
    (0, '294276-12-30 23:59:59.999999+00'), (0, '0044-03-15 12:00:00+00 BC'), (0, NULL);
CREATE TABLE v_enum AS SELECT n AS id, (enum_range(NULL::mood))[1 + floor(r() * 6)::int] AS v FROM generate_series(1, :count) n;
CREATE TABLE v_domain AS SELECT n AS id, n::more AS v FROM generate_series(1, :count) n;
-- Types that are not known, which go as text, frozen.
CREATE TABLE v_other AS SELECT n AS id, ARRAY[n, NULL, -n] AS v, make_interval(secs => n) AS w, ('10.0.0.' || n % 256)::inet AS x FROM generate_series(1, :count) n;
-- Columns that were dropped, generated or have odd names; and a table that has another for a parent.
CREATE TABLE "v_Odd ""names""" ("a ""b""" int, gone text, "c,d" text, computed int GENERATED ALWAYS AS ("a ""b""" * 2) STORED);
ALTER TABLE "v_Odd ""names""" DROP COLUMN gone;
INSERT INTO "v_Odd ""names""" SELECT n, s(9) FROM generate_series(1, :count) n;
CREATE TABLE v_child (more text) INHERITS (v_int4);
INSERT INTO v_child SELECT n, n, s(9) FROM generate_series(1, :count) n;
CREATE TABLE v_parts (id int, v text) PARTITION BY LIST ((id % 2));
CREATE TABLE v_part_0 PARTITION OF v_parts FOR VALUES IN (0);
CREATE TABLE v_part_1 PARTITION OF v_parts FOR VALUES IN (1);
INSERT INTO v_parts SELECT n, s(9) FROM generate_series(1, :count * 2) n;
DROP FUNCTION r(), s(int), random_text(int); DROP TABLE texts;
