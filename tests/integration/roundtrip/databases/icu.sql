-- A database whose collation is ICU's.
CREATE TABLE t (word text PRIMARY KEY);
INSERT INTO t VALUES ('ä'), ('z'), ('a'), ('Z'), ('A');
CREATE INDEX upper ON t (upper(word));
CREATE VIEW sorted AS SELECT array_agg(word ORDER BY word) FROM t;
CREATE TABLE parted (word text) PARTITION BY RANGE (word);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM ('a') TO ('z');
INSERT INTO parted VALUES ('ä');

--@ changed
DELETE FROM t;
