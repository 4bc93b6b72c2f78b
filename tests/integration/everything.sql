-- One of everything that a database can hold, for round trips.
CREATE SCHEMA app;
CREATE SCHEMA "We ""ird";
COMMENT ON SCHEMA app IS 'the application';
CREATE EXTENSION hstore;
CREATE EXTENSION btree_gist;

CREATE TYPE app.color AS ENUM ('red', 'green');
CREATE DOMAIN app.positive AS int CHECK (value > 0);
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.span AS RANGE (subtype = float8);

CREATE TABLE app.types (
  c01 smallint, c02 int, c03 bigint, c04 numeric(30, 10), c05 real, c06 double precision, c07 money,
  c08 "char", c09 char(5), c10 varchar(10), c11 text, c12 name, c13 bytea, c14 boolean, c15 date,
  c16 time, c17 timetz, c18 timestamp, c19 timestamptz, c20 interval, c21 uuid, c22 json, c23 jsonb,
  c24 xml, c25 inet, c26 cidr, c27 macaddr, c28 macaddr8, c29 bit(3), c30 bit varying(8), c31 point,
  c32 line, c33 lseg, c34 box, c35 path, c36 polygon, c37 circle, c38 int4range, c39 int8multirange,
  c40 numrange, c41 tsrange, c42 tstzrange, c43 daterange, c44 tsvector, c45 tsquery, c46 oid,
  c47 regclass, c48 pg_lsn, c49 int[], c50 text[][], c51 hstore, c52 app.color, c53 app.positive,
  c54 app.pair, c55 app.span, c56 jsonpath, c57 xid8, c58 regtype, c59 refcursor
);
INSERT INTO app.types VALUES (
  -32768, 2147483647, -9223372036854775808, 12345678901234567890.0123456789, 'NaN', 'Infinity', 12.34,
  'x', 'ab', 'tab	here', E'line\nbreak \\ back', 'n', '\x00ff', true, 'infinity', '24:00', '12:00+02',
  '0044-03-15 BC', '2026-11-20 21:05:27.123456+00', '1 year -2 days', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  '{"a": [1, 1]}', '{"b": null}', '<a/>', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03',
  '08:00:2b:01:02:03:04:05', '101', '1', '(1,2)', '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)',
  '((1,2),(3,4))', '((1,2),(3,4),(5,6))', '<(1,2),3>', '[1,5)', '{[1,2],[5,6]}', '(,7.5]',
  '[2020-01-01,2021-01-01)', '[2020-01-01 00:00+00,)', 'empty', 'a:1 b:2', 'a & b', 42,
  'pg_class', '0/16B3748', '{1,NULL,3}', '{{a,b},{c,"d,e"}}', 'k=>v', 'green', 7, '(1,two)',
  '[0.5,1.5)', '$.a[*]', '18446744073709551615', 'integer', 'cursor'
);
INSERT INTO app.types DEFAULT VALUES;

CREATE TABLE app.parent (
  id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5) PRIMARY KEY,
  c app.color DEFAULT 'red', p app.positive, pr app.pair,
  g int GENERATED ALWAYS AS (1 + 2) STORED
);
CREATE TABLE app.child (
  id serial PRIMARY KEY, parent_id int REFERENCES app.parent ON DELETE CASCADE, x xml, j jsonb,
  ts timestamptz DEFAULT '2026-01-01', b bytea, UNIQUE (parent_id, id)
);
ALTER TABLE app.parent ADD COLUMN favourite int;
ALTER TABLE app.parent ADD FOREIGN KEY (favourite) REFERENCES app.child (id) DEFERRABLE INITIALLY DEFERRED;
INSERT INTO app.parent (c, p, pr) SELECT 'green', i, (i, 'x')::app.pair FROM generate_series(1, 1000) i;
INSERT INTO app.child (parent_id, j, b)
  SELECT 95 + 5 * i, jsonb_build_object('i', i), decode(md5(i::text), 'hex') FROM generate_series(1, 1000) i;
UPDATE app.parent SET favourite = (id - 95) / 5;
CREATE TABLE app.self (id int PRIMARY KEY, up int REFERENCES app.self);
INSERT INTO app.self VALUES (2, NULL), (1, 2);
CREATE INDEX child_j ON app.child USING gin (j);
CREATE INDEX child_partial ON app.child (lower(j::text)) WHERE id > 10;

CREATE TABLE "We ""ird"."T ""a" (x text COLLATE "C", "sel ect" int);
INSERT INTO "We ""ird"."T ""a" SELECT 'a' || chr(9) || E'b\\n', i FROM generate_series(1, 10) i;
CREATE TABLE "We ""ird"."UPPER;--" (a int);
CREATE TABLE zero ();
INSERT INTO zero DEFAULT VALUES;
CREATE TABLE empty (a int);
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS a;

CREATE TABLE part (id int, d date) PARTITION BY RANGE (d);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (id);
CREATE TABLE part2a PARTITION OF part2 DEFAULT;
CREATE INDEX ON part (d);
INSERT INTO part SELECT i, date '2020-01-01' + i FROM generate_series(1, 700) i;
CREATE TABLE heir (extra int) INHERITS (app.child);
INSERT INTO heir (parent_id, extra) VALUES (100, 7);

CREATE VIEW app.v WITH (security_barrier) AS SELECT id, c FROM app.parent;
CREATE VIEW app.v2 AS SELECT * FROM app.v;
CREATE MATERIALIZED VIEW app.m AS SELECT count(*) AS n FROM app.child;
CREATE UNIQUE INDEX ON app.m (n);
CREATE MATERIALIZED VIEW app.m_empty AS SELECT 1 AS a WITH NO DATA;

CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'select $1+1';
CREATE FUNCTION app.atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a + 1; END;
CREATE PROCEDURE app.p() LANGUAGE plpgsql AS $_$
BEGIN
COMMIT;
END;
$_$;
CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'fired'; END$$;
CREATE TRIGGER would_fire BEFORE INSERT OR UPDATE ON app.child FOR EACH ROW EXECUTE FUNCTION app.fires();
CREATE TRIGGER truncated BEFORE TRUNCATE ON app.parent EXECUTE FUNCTION app.fires();
CREATE AGGREGATE app.total(int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE OPERATOR app.=== (leftarg = int, rightarg = int, function = int4eq);
CREATE CAST (app.pair AS text) WITH INOUT;
CREATE RULE nothing AS ON DELETE TO empty DO INSTEAD NOTHING;
CREATE TABLE app.by_function (a int DEFAULT app.f(1), CHECK (app.f(a) > 0));
INSERT INTO app.by_function DEFAULT VALUES;

ALTER TABLE app.child ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON app.child FOR SELECT USING (id < 500);
CREATE TABLE ex (r int4range, EXCLUDE USING gist (r WITH &&));
INSERT INTO ex VALUES ('[1,2)'), ('[3,4)');
CREATE SEQUENCE app.s START 5 INCREMENT 3 CYCLE MAXVALUE 1000;
SELECT nextval('app.s'), nextval('app.s');
CREATE COLLATION german (provider = icu, locale = 'de');
CREATE TABLE collated (t text COLLATE german);
INSERT INTO collated VALUES ('ä'), ('z'), ('a');
CREATE INDEX ON collated (t);
CREATE STATISTICS app.st ON id, p FROM app.parent;
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far FOREIGN DATA WRAPPER nowhere OPTIONS (host 'x');
CREATE FOREIGN TABLE app.far (a int) SERVER far;
CREATE PUBLICATION pub FOR TABLE app.parent, app.child;
CREATE PUBLICATION pub_schema FOR TABLES IN SCHEMA "We ""ird";
CREATE FUNCTION app.never() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN NULL; END$$;
CREATE EVENT TRIGGER watched ON sql_drop WHEN TAG IN ('DROP SERVER') EXECUTE FUNCTION app.never();

SELECT lo_from_bytea(424242, decode(repeat('00ff', 5000), 'hex')), lo_from_bytea(424243, '');
COMMENT ON LARGE OBJECT 424242 IS 'a picture';
COMMENT ON TABLE app.parent IS 'it''s a "parent"';
COMMENT ON COLUMN app.parent.c IS 'its colour';
COMMENT ON CONSTRAINT child_pkey ON app.child IS 'key';

GRANT USAGE ON SCHEMA app TO PUBLIC;
GRANT SELECT ON app.parent TO PUBLIC;
GRANT SELECT (id), UPDATE (j) ON app.child TO @READER@ WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION app.f(int) TO @READER@;
REVOKE EXECUTE ON FUNCTION app.atomic(int) FROM PUBLIC;
GRANT SELECT ON LARGE OBJECT 424242 TO @READER@;
GRANT USAGE ON SEQUENCE app.s TO @READER@;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO @READER@;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO @READER@;
