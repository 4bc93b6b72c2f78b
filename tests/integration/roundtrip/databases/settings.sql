-- A database whose settings change what statements mean, for all and for roles.
ALTER DATABASE :"DBNAME" SET standard_conforming_strings = off;
ALTER DATABASE :"DBNAME" SET escape_string_warning = off;
ALTER DATABASE :"DBNAME" SET backslash_quote = on;
ALTER DATABASE :"DBNAME" SET default_transaction_read_only = on;
ALTER DATABASE :"DBNAME" SET default_transaction_isolation = 'serializable';
ALTER DATABASE :"DBNAME" SET search_path = pgboss, public;
ALTER DATABASE :"DBNAME" SET statement_timeout = '100ms';
ALTER DATABASE :"DBNAME" SET lock_timeout = '100ms';
ALTER DATABASE :"DBNAME" SET idle_in_transaction_session_timeout = '100ms';
ALTER DATABASE :"DBNAME" SET datestyle = 'German, DMY';
ALTER DATABASE :"DBNAME" SET intervalstyle = 'sql_standard';
ALTER DATABASE :"DBNAME" SET timezone = 'Asia/Kathmandu';
ALTER DATABASE :"DBNAME" SET extra_float_digits = -15;
ALTER DATABASE :"DBNAME" SET bytea_output = escape;
ALTER DATABASE :"DBNAME" SET row_security = off;
ALTER DATABASE :"DBNAME" SET quote_all_identifiers = on;
ALTER DATABASE :"DBNAME" SET xmloption = document;
ALTER DATABASE :"DBNAME" SET transform_null_equals = on;
ALTER DATABASE :"DBNAME" SET check_function_bodies = on;
ALTER DATABASE :"DBNAME" SET client_encoding = 'LATIN1';
ALTER DATABASE :"DBNAME" SET client_min_messages = 'debug1';
ALTER DATABASE :"DBNAME" SET default_text_search_config = 'pg_catalog.german';
ALTER DATABASE :"DBNAME" SET array_nulls = off;
ALTER DATABASE :"DBNAME" SET application_name = E'it\'s';
\if :from_14
ALTER DATABASE :"DBNAME" SET idle_session_timeout = '100ms';
\endif
\if :from_17
ALTER DATABASE :"DBNAME" SET transaction_timeout = '100ms';
\endif
ALTER ROLE app IN DATABASE :"DBNAME" SET search_path = '';
ALTER ROLE postgres IN DATABASE :"DBNAME" SET standard_conforming_strings = off;
ALTER ROLE postgres IN DATABASE :"DBNAME" SET default_transaction_read_only = on;
CREATE SCHEMA pgboss;
CREATE SCHEMA pgadmin_things;
CREATE TABLE pgboss.job (id int PRIMARY KEY, at timestamptz, took interval, score float8, doc xml, data bytea, list int[], word text);
INSERT INTO pgboss.job VALUES (1, '2026-11-20 21:05:27.123456+00', '1 year -2 days 03:04:05', 0.1::float8 + 0.2, 'no <b>document</b>',
    '\x00ff5c', '{1,NULL}', E'back\\slash \u00e9');
CREATE TABLE pgadmin_things.t (a text DEFAULT E'\\', b text CHECK (b <> E'\\x'));
INSERT INTO pgadmin_things.t (b) VALUES (E'\\');
CREATE FUNCTION pgboss.not_checked() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE INDEX searched ON pgboss.job USING gin (to_tsvector('german', word));
CREATE MATERIALIZED VIEW pgboss.slow AS SELECT 1 AS a, pg_sleep(0.3)::text AS b;

--@ changed
SET default_transaction_read_only = off;
SET statement_timeout = 0;
ALTER DATABASE :"DBNAME" SET timezone = 'Europe/Berlin';
UPDATE pgboss.job SET word = 'changed';
DROP TABLE pgadmin_things.t;
