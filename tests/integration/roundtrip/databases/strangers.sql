-- What the backup does not know stays, beside what it brings and in it.
CREATE SCHEMA app;
CREATE TABLE app.t (id int PRIMARY KEY, a int);
INSERT INTO app.t VALUES (1, 1);
CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE TYPE app.color AS ENUM ('red');
CREATE EXTENSION hstore;
SELECT lo_from_bytea(4711, 'of the backup');

--@ changed
UPDATE app.t SET a = 2;
CREATE TABLE app.mine AS SELECT 5 AS a;
CREATE SCHEMA other;
CREATE TABLE other.t (h hstore);
CREATE FUNCTION app.f(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION app.by_name() RETURNS int LANGUAGE sql AS 'SELECT a FROM app.t';
CREATE VIEW other.v AS SELECT * FROM app.mine;
CREATE SEQUENCE app.s;
CREATE TYPE app.shape AS ENUM ('round');
CREATE EXTENSION citext SCHEMA other;
CREATE PUBLICATION mine FOR TABLE app.mine;
CREATE ACCESS METHOD own_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE FOREIGN DATA WRAPPER mine;
CREATE COLLATION app.c FROM "C";
SELECT lo_from_bytea(4712, 'mine');
GRANT SELECT ON app.mine TO reader;
COMMENT ON TABLE app.mine IS 'mine';
ALTER TABLE app.mine OWNER TO app;

--@ stays
DO $$
BEGIN
  ASSERT (SELECT a FROM app.mine) = 5;
  ASSERT lo_get(4712) = 'mine';
  ASSERT has_table_privilege('reader', 'app.mine', 'SELECT');
  ASSERT obj_description('app.mine'::regclass) = 'mine';
  ASSERT (SELECT relowner::regrole::text FROM pg_class WHERE oid = 'app.mine'::regclass) = 'app';
  ASSERT app.by_name() = 1;
END
$$;
DROP PUBLICATION mine;
DROP VIEW other.v;
DROP TABLE app.mine, other.t;
DROP EXTENSION citext;
DROP SCHEMA other;
DROP FUNCTION app.f(text), app.by_name();
DROP SEQUENCE app.s;
DROP TYPE app.shape;
DROP ACCESS METHOD own_heap;
DROP FOREIGN DATA WRAPPER mine;
DROP COLLATION app.c;
SELECT lo_unlink(4712);
