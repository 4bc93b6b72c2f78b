-- A unique index that is not one, as after a new version of a collation: no restore can build it, and what hangs on it.
CREATE TABLE words (id int PRIMARY KEY, word text);
INSERT INTO words VALUES (1, 'same'), (2, 'same'), (3, 'other');
CREATE INDEX words_word ON words (word);
CREATE TABLE refers (id int REFERENCES words);
INSERT INTO refers VALUES (1);
SET allow_system_table_mods = on;
UPDATE pg_index SET indisunique = true WHERE indexrelid = 'words_word'::regclass;

--@ lacking
DROP INDEX words_word;
