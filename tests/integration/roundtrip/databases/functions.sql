-- Functions, procedures, aggregates, and what PostgreSQL finds them by.
CREATE SCHEMA app;
CREATE FUNCTION app.plain(int) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 7 AS 'select $1+1';
CREATE FUNCTION app.plain(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 || '$_$' $$;
CREATE FUNCTION app.many(a int, OUT b int, INOUT c text DEFAULT 'c', VARIADIC d numeric[] DEFAULT '{}') RETURNS record
    LANGUAGE plpgsql AS $body$ BEGIN b := a; END $body$;
CREATE FUNCTION app.rows(n int DEFAULT app.plain(1)) RETURNS TABLE (a int, b text) LANGUAGE sql ROWS 17
    AS $$ SELECT i, 'x' FROM generate_series(1, n) i $$;
CREATE FUNCTION app.any(anyelement, anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION app.definer() RETURNS text LANGUAGE plpgsql SECURITY DEFINER LEAKPROOF
    SET search_path = app, pg_temp SET work_mem = '8MB' SET "DateStyle" = 'ISO, DMY'
    AS $$ BEGIN RETURN current_setting('search_path'); END $$;
CREATE FUNCTION app.window_function() RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE AS 'window_row_number';
CREATE PROCEDURE app.commits() LANGUAGE plpgsql AS $_$
BEGIN
COMMIT;
ROLLBACK;
END;
$_$;
CREATE PROCEDURE app.with_arguments(INOUT a int, b text DEFAULT E'\\') LANGUAGE sql AS 'SELECT 1';
CREATE TABLE app.t (id int PRIMARY KEY, word text);
INSERT INTO app.t VALUES (1, 'one'), (2, 'two');
CREATE FUNCTION app.of_row(app.t) RETURNS text LANGUAGE sql AS 'SELECT $1.word';
CREATE FUNCTION app.set_of() RETURNS SETOF app.t LANGUAGE sql STABLE AS 'TABLE app.t';
\if :from_14
CREATE FUNCTION app.atomic(a int) RETURNS int LANGUAGE sql
BEGIN ATOMIC
  SELECT a + 1;
  SELECT a + 2;
END;
CREATE FUNCTION app.by_key() RETURNS SETOF record LANGUAGE sql
BEGIN ATOMIC
  SELECT id, word FROM app.t GROUP BY id;
END;
CREATE PROCEDURE app.with_out(OUT a int) LANGUAGE plpgsql AS 'BEGIN a := 1; END';
\endif
CREATE AGGREGATE app.total(int) (sfunc = int4pl, stype = int, initcond = '0', parallel = safe);
CREATE AGGREGATE app.moving(int) (sfunc = int4pl, stype = int, msfunc = int4pl, minvfunc = int4mi, mstype = int);
CREATE AGGREGATE app.ranked(float8 ORDER BY anyelement)
    (sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
CREATE AGGREGATE app.count_all(*) (sfunc = int8inc, stype = int8, initcond = '0');
CREATE VIEW app.uses_total AS SELECT app.total(id) FROM app.t;

CREATE OPERATOR app.=== (leftarg = int, rightarg = int, function = int4eq, commutator = OPERATOR(app.===),
    restrict = eqsel, join = eqjoinsel, hashes, merges);
CREATE OPERATOR app.!! (rightarg = int, function = app.plain);
CREATE FUNCTION app.compare(int, int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
CREATE OPERATOR FAMILY app.family USING btree;
CREATE OPERATOR CLASS app.int_class FOR TYPE int USING btree FAMILY app.family AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 app.compare(int, int);
ALTER OPERATOR FAMILY app.family USING btree ADD OPERATOR 1 < (int4, int8), FUNCTION 1 (int4, int8) btint48cmp(int4, int8);
CREATE INDEX by_class ON app.t (id app.int_class);
CREATE TYPE app.pair AS (a int, b int);
CREATE FUNCTION app.pair_of(int) RETURNS app.pair LANGUAGE sql AS 'SELECT ROW($1, $1)::app.pair';
CREATE CAST (int AS app.pair) WITH FUNCTION app.pair_of(int) AS ASSIGNMENT;
CREATE CAST (app.pair AS text) WITH INOUT;
CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE ACCESS METHOD own_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE app.in_own_heap (a int) USING own_heap;
INSERT INTO app.in_own_heap VALUES (1);
CREATE TEXT SEARCH DICTIONARY app.dictionary (TEMPLATE = simple, stopwords = 'english', accept = false);
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION app.words ALTER MAPPING FOR asciiword WITH app.dictionary, simple;
CREATE TEXT SEARCH PARSER app.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE app.template (LEXIZE = dsimple_lexize, INIT = dsimple_init);
CREATE INDEX searched ON app.t USING gin (to_tsvector('app.words', word));
CREATE COLLATION app.german (provider = icu, locale = 'de');
CREATE COLLATION app.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE app.collated (t text COLLATE app.german, u text COLLATE app.any_case UNIQUE);
INSERT INTO app.collated VALUES ('ä', 'A'), ('z', 'B'), ('a', 'C');
CREATE INDEX ON app.collated (t);
COMMENT ON FUNCTION app.plain(int) IS 'adds one';
COMMENT ON AGGREGATE app.total(int) IS 'a sum';
COMMENT ON OPERATOR app.=== (int, int) IS 'equal';
COMMENT ON PROCEDURE app.commits() IS E'-- looks like\nCOMMIT;';
COMMENT ON CAST (app.pair AS text) IS 'as text';
COMMENT ON COLLATION app.german IS 'of the German language';

--@ changed
CREATE OR REPLACE FUNCTION app.plain(int) RETURNS int LANGUAGE sql AS 'select 0';
DROP VIEW app.uses_total;
DROP AGGREGATE app.total(int);
CREATE FUNCTION app.total(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
DROP FUNCTION app.plain(text);
CREATE PROCEDURE app.plain(text) LANGUAGE sql AS '';
DROP CAST (int AS app.pair);
DROP OPERATOR CLASS app.int_class USING btree CASCADE;
ALTER TEXT SEARCH CONFIGURATION app.words DROP MAPPING FOR asciiword;
DROP COLLATION app.any_case CASCADE;
