-- A column of each type, with values at the edges, and types of every kind.
CREATE SCHEMA app;
CREATE EXTENSION hstore;

CREATE TYPE app.color AS ENUM ('red', 'green');
ALTER TYPE app.color ADD VALUE 'amber' BEFORE 'green';
CREATE TYPE app.no_label AS ENUM ();
CREATE DOMAIN app.positive AS int CHECK (value > 0);
CREATE DOMAIN app.small AS app.positive DEFAULT 1 NOT NULL CONSTRAINT below_ten CHECK (value < 10);
CREATE TYPE app.pair AS (a int, b text COLLATE "C");
CREATE TYPE app.nothing AS ();
CREATE TYPE app.nested AS (one app.pair, many app.pair[]);
CREATE FUNCTION app.distance(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = app.distance);
CREATE DOMAIN app.known_span AS app.span CHECK (NOT isempty(value));
CREATE TYPE app.shell;
CREATE TYPE app.number;
CREATE FUNCTION app.number_in(cstring) RETURNS app.number LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION app.number_out(app.number) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE app.number (INPUT = app.number_in, OUTPUT = app.number_out, LIKE = int4, DEFAULT = '7');
COMMENT ON TYPE app.color IS 'of a light';
COMMENT ON DOMAIN app.small IS 'of one digit';
COMMENT ON CONSTRAINT below_ten ON DOMAIN app.small IS 'one digit';
COMMENT ON COLUMN app.pair.b IS 'the second';

CREATE TABLE app.types (
  c01 smallint, c02 int, c03 bigint, c04 numeric(30, 10), c05 real, c06 double precision, c07 money,
  c08 "char", c09 char(5), c10 varchar(10), c11 text, c12 name, c13 bytea, c14 boolean, c15 date,
  c16 time, c17 timetz, c18 timestamp, c19 timestamptz, c20 interval, c21 uuid, c22 json, c23 jsonb,
  c24 xml, c25 inet, c26 cidr, c27 macaddr, c28 macaddr8, c29 bit(3), c30 bit varying(8), c31 point,
  c32 line, c33 lseg, c34 box, c35 path, c36 polygon, c37 circle, c38 int4range, c39 int8range,
  c40 numrange, c41 tsrange, c42 tstzrange, c43 daterange, c44 tsvector, c45 tsquery, c46 oid,
  c47 regclass, c48 pg_lsn, c49 int[], c50 text[][], c51 hstore, c52 app.color, c53 app.positive,
  c54 app.pair, c55 app.span, c56 jsonpath, c57 xid8, c58 regtype, c59 refcursor, c60 app.nested,
  c61 app.number, c62 app.known_span[], c63 interval day to second(2), c64 timestamp(3), c65 tid, c66 app.nothing
);
INSERT INTO app.types VALUES (
  -32768, 2147483647, -9223372036854775808, 12345678901234567890.0123456789, 'NaN', 'Infinity', 12.34,
  'x', 'ab', 'tab	here', E'line\nbreak \\ back', 'n', '\x00ff', true, 'infinity', '24:00', '12:00+02',
  '0044-03-15 BC', '2026-11-20 21:05:27.123456+00', '1 year -2 days', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  '{"a": [1, 1], "a": 2}', '{"b": null}', '<a/>', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03',
  '08:00:2b:01:02:03:04:05', '101', '1', '(1,2)', '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)',
  '((1,2),(3,4))', '((1,2),(3,4),(5,6))', '<(1,2),3>', '[1,5)', '[1,2]', '(,7.5]',
  '[2020-01-01,2021-01-01)', '[2020-01-01 00:00+00,)', 'empty', 'a:1 b:2', 'a & b', 42,
  'pg_class', '0/16B3748', '[0:2]={1,NULL,3}', '{{a,b},{c,"d,e"}}', 'k=>v', 'amber', 7, '(1,two)',
  '[0.5,1.5)', '$.a[*]', '18446744073709551615', 'integer', 'cursor', '("(1,a)","{""(2,b)"",""(,)""}")',
  '5', '{"[1,2)"}', '1 day 02:03:04.56', '2026-11-20 21:05:27.123', '(7,8)', '()'
);
INSERT INTO app.types DEFAULT VALUES;
CREATE TABLE app.edges AS
  SELECT float4 '1.17549435e-38' AS a, float8 '2.2250738585072014e-308' AS b, float8 '-0' AS c, 0.1::float8 + 0.2 AS d,
         numeric '0.00000000000000000000000000000000000001' AS e, timestamp '294276-12-31 23:59:59.999999' AS f,
         date '5874897-12-31' AS g, interval '-178000000 years' AS h, '{}'::int[] AS i, '{NULL,"NULL"}'::text[] AS j;

\if :from_14
CREATE TABLE app.multiranges (a int8multirange, b datemultirange);
INSERT INTO app.multiranges VALUES ('{[1,2],[5,6]}', '{}');
INSERT INTO app.edges (e) VALUES ('-Infinity');
CREATE TYPE app.spans AS RANGE (subtype = int8, multirange_type_name = app.several_spans);
\endif

--@ changed
ALTER TABLE app.types DROP COLUMN c07, ALTER c02 TYPE bigint;
ALTER TYPE app.color ADD VALUE 'blue';
ALTER TYPE app.color RENAME VALUE 'red' TO 'rot';
ALTER DOMAIN app.small DROP CONSTRAINT below_ten;
ALTER TYPE app.pair ADD ATTRIBUTE c int;
DROP TYPE app.nothing CASCADE;
CREATE TYPE app.nothing AS ENUM ('something');
