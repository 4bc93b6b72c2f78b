-- Indexes of each method and with every option.
CREATE EXTENSION pg_trgm;
CREATE TABLE t (id int, word text, list int[], at timestamptz, place point, address inet, doc jsonb, num numeric);
INSERT INTO t SELECT i, md5(i::text), ARRAY[i, i % 7], timestamptz '2026-01-01' + i * interval '1 hour',
    point(i, -i), ('10.0.0.' || i % 255)::inet, jsonb_build_object('i', i), i / 3.0 FROM generate_series(1, 500) i;
CREATE INDEX plain ON t (id);
CREATE UNIQUE INDEX several ON t (id DESC NULLS LAST, word COLLATE "C" text_pattern_ops) INCLUDE (at, num);
CREATE INDEX hashed ON t USING hash (word);
CREATE INDEX of_lists ON t USING gin (list) WITH (fastupdate = off);
CREATE INDEX of_docs ON t USING gin (doc jsonb_path_ops);
CREATE INDEX of_words ON t USING gin (word gin_trgm_ops);
CREATE INDEX of_places ON t USING gist (place);
CREATE INDEX of_addresses ON t USING spgist (address inet_ops);
CREATE INDEX of_times ON t USING brin (at) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX partial ON t (num) WHERE num > 10 AND word LIKE '%a''b%';
CREATE INDEX expressions ON t ((lower(word)), (id + 1), num) WITH (fillfactor = 60);
ALTER INDEX expressions ALTER COLUMN 1 SET STATISTICS 321;
CREATE INDEX trgm_siglen ON t USING gist (word gist_trgm_ops (siglen = 32));
CREATE TABLE clustered (a int NOT NULL, b int NOT NULL);
INSERT INTO clustered VALUES (2, 1), (1, 2);
CREATE UNIQUE INDEX clustered_a ON clustered (a);
CREATE UNIQUE INDEX clustered_b ON clustered (b);
ALTER TABLE clustered CLUSTER ON clustered_a, REPLICA IDENTITY USING INDEX clustered_b;
CREATE TABLE statistics (a int, b int, c text);
INSERT INTO statistics SELECT i, i % 10, i FROM generate_series(1, 300) i;
CREATE STATISTICS all_kinds ON a, b FROM statistics;
CREATE STATISTICS some_kinds (dependencies, mcv) ON b, c FROM statistics;
ALTER STATISTICS some_kinds SET STATISTICS 77;
\if :from_14
CREATE STATISTICS of_expressions ON (a + b), lower(c) FROM statistics;
\endif
COMMENT ON INDEX partial IS 'only some';
COMMENT ON STATISTICS all_kinds IS 'of two columns';

--@ changed
DROP INDEX plain, partial;
CREATE INDEX partial ON t (id) WHERE id < 5;
ALTER TABLE clustered SET WITHOUT CLUSTER, REPLICA IDENTITY DEFAULT;
DROP STATISTICS all_kinds;
DELETE FROM t WHERE id > 7;
