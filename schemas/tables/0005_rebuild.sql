-- What a rebuild of a state reads costs the same late in a run as early.
--
-- entries: whether there is an epoch above one is known without reading the run (collector/store/newest_above.sql).
ALTER TABLE entries ADD INDEX IF NOT EXISTS epochs epoch TYPE minmax GRANULARITY 1;

-- content: `seq` of space chunk is 0, whichever entry needed it first, so that the chunks of a family are one range in which
-- each is found by its name: a checkpoint names chunks of many ages (collector/store, lastSeq).
