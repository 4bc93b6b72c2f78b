-- Sequences, and where they stand.
CREATE SEQUENCE untouched START 5;
CREATE SEQUENCE called;
SELECT nextval('called'), nextval('called');
CREATE SEQUENCE with_options AS smallint START -5 INCREMENT -3 MINVALUE -1000 MAXVALUE -1 CACHE 20 CYCLE;
SELECT nextval('with_options');
CREATE SEQUENCE at_its_end MAXVALUE 3;
SELECT nextval('at_its_end') FROM generate_series(1, 3);
CREATE SEQUENCE set_back;
SELECT setval('set_back', 42, false);
CREATE TABLE t (id serial, other bigint GENERATED ALWAYS AS IDENTITY);
INSERT INTO t DEFAULT VALUES;
SELECT setval('t_id_seq', 9000000000000000 % 2147483647);
CREATE TABLE owns (a int);
CREATE SEQUENCE owned OWNED BY owns.a;
SELECT nextval('owned');
\if :from_15
CREATE UNLOGGED SEQUENCE unlogged;
SELECT nextval('unlogged');
\endif

--@ changed
SELECT nextval('untouched'), setval('called', 500);
ALTER SEQUENCE with_options INCREMENT 1 MAXVALUE 7 NO CYCLE;
DROP SEQUENCE at_its_end;
CREATE TABLE at_its_end (a int);
ALTER SEQUENCE owned OWNED BY NONE;
ALTER TABLE t ALTER other DROP IDENTITY;
INSERT INTO t (other) VALUES (7);
