-- What the archives beside this file hold: few rows, and every kind of entry and of name that a reader
-- of archives can stumble over.
COMMENT ON DATABASE archived IS 'it''s small';
ALTER DATABASE archived SET search_path = odd, public;
GRANT CONNECT ON DATABASE archived TO reader;
CREATE SCHEMA odd;
CREATE TABLE odd."a; b" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "größe" text, "with ""quotes""" bytea);
COMMENT ON COLUMN odd."a; b"."größe" IS 'two
lines';
CREATE TABLE odd."two
lines" (id serial PRIMARY KEY, other int REFERENCES odd."a; b", twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE "  spaces  " (at date NOT NULL, payload jsonb) PARTITION BY RANGE (at);
CREATE TABLE part PARTITION OF "  spaces  " FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE empty ();
CREATE TABLE wide (text text);
CREATE UNLOGGED TABLE unlogged (n int);
CREATE SEQUENCE numbers START 17;
CREATE DOMAIN amount AS numeric(12, 2) CHECK (VALUE >= 0);
CREATE TYPE state AS ENUM ('new', 'paid; sent');
CREATE TYPE pair AS (a int, b state);
CREATE VIEW odd.seen AS SELECT id, twice FROM odd."two
lines";
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM odd."a; b";
CREATE FUNCTION touch(a int DEFAULT 1, OUT b text) LANGUAGE plpgsql AS $_$ BEGIN b := $$; COMMIT;
$$; END $_$;
CREATE FUNCTION trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER touching BEFORE UPDATE ON wide FOR EACH ROW EXECUTE FUNCTION trigger();
CREATE PROCEDURE proceed() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE COLLATION german FROM "C";
CREATE RULE quiet AS ON DELETE TO unlogged DO INSTEAD NOTHING;
ALTER TABLE wide ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON wide TO reader USING (text <> '');
CREATE INDEX "an index" ON odd."a; b" (lower("größe"));
CREATE STATISTICS dependent (dependencies) ON id, other FROM odd."two
lines";
CREATE PUBLICATION changes FOR TABLE wide;
CREATE FUNCTION frozen() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER frozen ON sql_drop EXECUTE FUNCTION frozen();
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing OPTIONS (host 'nowhere');
CREATE USER MAPPING FOR reader SERVER elsewhere OPTIONS (password 'p;w');
CREATE FOREIGN TABLE far (n int) SERVER elsewhere;
ALTER DEFAULT PRIVILEGES IN SCHEMA odd GRANT SELECT ON TABLES TO reader;
GRANT SELECT ON wide TO reader;
GRANT UPDATE ("größe") ON odd."a; b" TO reader;
INSERT INTO odd."a; b" ("größe", "with ""quotes""") SELECT 'Größe ' || i, decode(md5(i::text), 'hex') FROM generate_series(1, 20) i;
INSERT INTO odd."two
lines" (other) SELECT i FROM generate_series(1, 20) i;
INSERT INTO part SELECT date '2025-01-01' + i, jsonb_build_object('i', i) FROM generate_series(1, 10) i;
INSERT INTO empty DEFAULT VALUES;
INSERT INTO wide VALUES (''), ('\.'), (E'a\tb\nc\\d'), (NULL), (repeat('wide ', 200));
SELECT nextval('numbers');
REFRESH MATERIALIZED VIEW counted;
SELECT lo_from_bytea(100001, 'the first');
SELECT lo_from_bytea(100002, decode(repeat('00ff', 300), 'hex'));
SELECT lo_create(100003);
GRANT SELECT ON LARGE OBJECT 100001 TO reader;
COMMENT ON LARGE OBJECT 100002 IS 'the second';
