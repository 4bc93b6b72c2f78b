-- Subscriptions to a publisher that nobody may call: it would drop its slots.
CREATE TABLE t (id int PRIMARY KEY, word text);
INSERT INTO t VALUES (1, 'one');
CREATE SUBSCRIPTION with_slot CONNECTION :'publisher' PUBLICATION pub, "other pub" WITH (connect = false, slot_name = 'a_slot');
CREATE SUBSCRIPTION without_slot CONNECTION :'publisher' PUBLICATION pub WITH (connect = false, slot_name = NONE, synchronous_commit = 'off');
COMMENT ON SUBSCRIPTION with_slot IS 'from elsewhere';

--@ changed
DELETE FROM t;
ALTER SUBSCRIPTION with_slot SET (slot_name = 'another_slot');
ALTER SUBSCRIPTION without_slot DISABLE;
DROP SUBSCRIPTION without_slot;
