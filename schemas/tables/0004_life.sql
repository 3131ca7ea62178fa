-- life: which life of the engine this is, for collector/store/exact.
-- Written by: whoever asks first after a start. Read by: every insert of a segment.
-- Engine: a Join table that is not persistent loses its row when the engine ends, and ANY keeps the first
--   row of several that are written for a key, so that all who ask at once get the same answer.
CREATE TABLE IF NOT EXISTS life
(
    key UInt8,
    id  UUID
)
ENGINE = Join(ANY, LEFT, key)
SETTINGS persistent = 0;
