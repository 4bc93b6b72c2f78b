-- Keys and checks of every kind, in circles too.
CREATE EXTENSION btree_gist;
CREATE TABLE parent (id int PRIMARY KEY, favourite int, word text UNIQUE);
CREATE TABLE child (
    id int PRIMARY KEY,
    parent_id int REFERENCES parent ON DELETE CASCADE ON UPDATE SET NULL,
    UNIQUE (parent_id, id) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO parent SELECT i, NULL, 'word ' || i FROM generate_series(1, 200) i;
INSERT INTO child SELECT i, i FROM generate_series(1, 200) i;
UPDATE parent SET favourite = 201 - id;
ALTER TABLE parent ADD CONSTRAINT circle FOREIGN KEY (favourite) REFERENCES child DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE self (id int PRIMARY KEY, up int REFERENCES self);
INSERT INTO self VALUES (2, NULL), (1, 2), (3, 3);
CREATE TABLE two_columns (a int, b int, PRIMARY KEY (a, b) INCLUDE (c), c int);
CREATE TABLE refers (a int, b int, FOREIGN KEY (a, b) REFERENCES two_columns MATCH FULL ON DELETE SET DEFAULT);
INSERT INTO two_columns VALUES (1, 2, 3);
INSERT INTO refers VALUES (1, 2), (NULL, NULL);
CREATE TABLE not_valid (a int, parent_id int);
INSERT INTO not_valid VALUES (-1, 9999);
ALTER TABLE not_valid ADD CONSTRAINT positive CHECK (a > 0) NOT VALID,
    ADD CONSTRAINT dangling FOREIGN KEY (parent_id) REFERENCES parent NOT VALID;
CREATE TABLE checked (a int, b int, CHECK (a < b), CONSTRAINT "it's named" CHECK (a <> 7) NO INHERIT);
INSERT INTO checked VALUES (1, 2);
CREATE TABLE booked (room int, at tstzrange, EXCLUDE USING gist (room WITH =, at WITH &&) WHERE (room > 0));
INSERT INTO booked VALUES (1, '[2026-01-01,2026-01-02)'), (1, '[2026-01-02,2026-01-03)'), (-1, 'empty');
CREATE FUNCTION is_even(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 % 2 = 0; END';
CREATE TABLE by_function (a int DEFAULT 2 CHECK (is_even(a)));
INSERT INTO by_function DEFAULT VALUES;
CREATE UNIQUE INDEX becomes_key ON by_function (a);
ALTER TABLE by_function ADD CONSTRAINT by_function_key UNIQUE USING INDEX becomes_key;
ALTER TABLE by_function CLUSTER ON by_function_key;
\if :from_15
CREATE TABLE one_null (a int UNIQUE NULLS NOT DISTINCT, b int, FOREIGN KEY (a, b) REFERENCES two_columns ON DELETE SET NULL (b));
INSERT INTO one_null VALUES (NULL);
\endif
\if :from_18
CREATE TABLE temporal (id int, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
CREATE TABLE of_temporal (id int, at daterange, FOREIGN KEY (id, PERIOD at) REFERENCES temporal (id, PERIOD at));
CREATE TABLE not_enforced (a int CHECK (a > 0) NOT ENFORCED, b int REFERENCES parent NOT ENFORCED);
INSERT INTO not_enforced VALUES (-1, 9999);
\endif
COMMENT ON CONSTRAINT circle ON parent IS 'and back';

--@ changed
ALTER TABLE parent DROP CONSTRAINT circle;
DELETE FROM child;
ALTER TABLE refers ADD CONSTRAINT later FOREIGN KEY (a) REFERENCES self NOT VALID;
ALTER TABLE not_valid DROP CONSTRAINT positive, ADD CONSTRAINT positive CHECK (a IS NOT NULL);
ALTER TABLE booked DROP CONSTRAINT booked_room_at_excl;
CREATE OR REPLACE FUNCTION is_even(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN false; END';
UPDATE self SET up = NULL;
