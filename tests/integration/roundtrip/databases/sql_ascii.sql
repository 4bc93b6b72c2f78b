-- No encoding at all: bytes go through as they are.
CREATE TABLE t (id int PRIMARY KEY, word text);
INSERT INTO t SELECT i, convert_from(decode(lpad(to_hex(i), 2, '0'), 'hex'), 'SQL_ASCII') FROM generate_series(1, 255) i;
INSERT INTO t VALUES (1000, convert_from('\x6772f6df65', 'SQL_ASCII')), (1001, 'größe');

--@ changed
DELETE FROM t WHERE id > 100;
