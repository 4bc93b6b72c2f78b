-- As before, and the superuser has rows of his own in it: they are left out, with a word.
CREATE EXTENSION roundtrip_trusted;
INSERT INTO reference_systems VALUES (2000, 'our own');
SET ROLE app;
CREATE TABLE t (id int, word text);
INSERT INTO t VALUES (1, reference_system(2000));

--@ prepared
CREATE EXTENSION roundtrip_trusted;

--@ lacking
DELETE FROM reference_systems WHERE id = 2000;

--@ changed
SET ROLE app;
DELETE FROM t;
