-- Rows that are hard to write and to read: control characters, line ends, what looks like an end, large ones.
CREATE TABLE t (id int PRIMARY KEY, a text, b bytea);
INSERT INTO t VALUES
  (1, '', ''), (2, NULL, NULL), (3, E'\\N', '\x5c4e'), (4, E'\\.', '\x5c2e0a'), (5, E'\n\\.\n', '\x00'),
  (6, E'a\tb\vc\fd\be', NULL), (7, E'\r\n', NULL), (8, E'\r', NULL), (9, '😀 ä € 漢字 ‮ ﷽', NULL), (10, E'\x01\x02\x1f\x7f', NULL),
  (11, ' leading and trailing ', NULL), (12, repeat('ab', 600000), NULL), (13, repeat(E'\\\n', 100000), decode(repeat('00ff0a5c', 100000), 'hex')),
  (14, E'\\\\\\', NULL), (15, 'NULL', NULL), (16, '\x41', NULL), (17, E'\u00a0\u2028\ufeff', NULL);
INSERT INTO t SELECT 100 + i, chr(i), NULL FROM generate_series(1, 300) i;
CREATE TABLE only_empty (a text);
INSERT INTO only_empty SELECT '' FROM generate_series(1, 50);
CREATE TABLE only_null (a int, b int);
INSERT INTO only_null SELECT NULL FROM generate_series(1, 50);
CREATE TABLE one_column (a text);
INSERT INTO one_column VALUES (E'\\.'), (E'\n'), ('.'), (E'\\N'), (NULL);

--@ changed
UPDATE t SET a = 'changed';
DELETE FROM one_column;
