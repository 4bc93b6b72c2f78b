-- What needs a search_path, that a restore has not: an index by a function, and a materialized view.
CREATE TABLE places (id int PRIMARY KEY, word text);
CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION label(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN plain($1); END';
CREATE INDEX places_label ON places (label(word));
INSERT INTO places SELECT i, 'Place ' || i FROM generate_series(1, 100) i;
CREATE INDEX places_word ON places (word);
CREATE TABLE divisors (n int);
INSERT INTO divisors VALUES (1), (2);
CREATE MATERIALIZED VIEW quotients AS SELECT 1 / n AS q FROM divisors;
CREATE INDEX quotients_q ON quotients (q);
INSERT INTO divisors VALUES (0);
CREATE VIEW after AS SELECT 1 AS a;

--@ lacking
DROP INDEX places_label;
REFRESH MATERIALIZED VIEW quotients WITH NO DATA;
