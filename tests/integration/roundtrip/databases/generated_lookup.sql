-- Generated columns that read another table, and say nothing where they do not find its rows.
CREATE TABLE a_words (id int PRIMARY KEY, word text, filling text);
ALTER TABLE a_words ALTER filling SET STORAGE EXTERNAL;
INSERT INTO a_words SELECT i, 'word ' || i, repeat('x', 1000000) FROM generate_series(1, 11) i;
CREATE TABLE a_large (id int, filling text);
ALTER TABLE a_large ALTER filling SET STORAGE EXTERNAL;
INSERT INTO a_large SELECT i, repeat('y', 1000000) FROM generate_series(1, 10) i;
CREATE FUNCTION word_of(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN (SELECT word FROM public.a_words WHERE id = $1); END';
CREATE TABLE b (ref int, word text GENERATED ALWAYS AS (word_of(ref)) STORED);
INSERT INTO b SELECT generate_series(1, 11);
CREATE TABLE b_child (more int) INHERITS (b);
INSERT INTO b_child (ref) VALUES (3);
CREATE FUNCTION words_of(int) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN (SELECT count(*) FROM public.b WHERE ref = $1 AND word IS NOT NULL); END';
CREATE TABLE c (ref int, words bigint GENERATED ALWAYS AS (words_of(ref)) STORED);
INSERT INTO c SELECT generate_series(1, 11);
CREATE INDEX ON b (word);

--@ changed
DELETE FROM b;
DELETE FROM c;
UPDATE a_words SET word = 'another' WHERE id = 1;
