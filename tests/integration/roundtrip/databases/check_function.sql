-- Rows that are checked against rows of a larger table, which has a stream of its own. pg_dump's order, by name, would do.
CREATE TABLE a_known (id int PRIMARY KEY, word text);
CREATE TABLE a_large (id int, word text);
ALTER TABLE a_known ALTER word SET STORAGE EXTERNAL;
ALTER TABLE a_large ALTER word SET STORAGE EXTERNAL;
INSERT INTO a_known SELECT i, repeat('x', 1000000) FROM generate_series(1, 11) i;
INSERT INTO a_large SELECT i, repeat('y', 1000000) FROM generate_series(1, 10) i;
CREATE FUNCTION known(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM public.a_known WHERE id = $1); END';
CREATE FUNCTION word_of(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    'DECLARE found text; BEGIN SELECT left(word, 3) INTO STRICT found FROM public.a_known WHERE id = $1; RETURN found; END';
CREATE TABLE b (ref int CHECK (known(ref)), word text GENERATED ALWAYS AS (word_of(ref)) STORED);
INSERT INTO b SELECT i FROM generate_series(1, 11) i;

--@ changed
DELETE FROM b WHERE ref > 3;
UPDATE a_large SET word = '';
