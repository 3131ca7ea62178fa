-- The journal of our own runs, as it was shipped: enough to rebuild every state on any machine.
-- Written by: collector, from the records of schemas/record, after their hashes were compared.
-- Read by: replay, through collector/store, which trusts nothing here and checks hashes again.
-- A record may arrive twice, from two segments even. The engine then collapses rows with one key when
--   it merges; until then readers take one (LIMIT 1 BY). Rows of one key are equal but for seg and received.
-- No PARTITION BY: rows collapse only within a partition.
-- fsync: what was acknowledged survives the loss of power, as the runner's own store promises.
-- TTL: none; DeleteFamily.

-- entries: one row an entry. `line` is the entry, the other columns are read from it for queries.
-- ORDER BY: a run from any seq on is one range; granules are as small as what a rebuild reads after a checkpoint. Two different entries at one seq (a worker that lost its
--   lease went on) are two rows: readers follow prev back from the newest entry of the highest epoch.
CREATE TABLE IF NOT EXISTS entries
(
    project  LowCardinality(String),
    run      UUID                  CODEC(ZSTD(1)),
    seq      Int64                 CODEC(Delta(8), ZSTD(1)),
    epoch    Int64                 CODEC(ZSTD(1)),
    hash     FixedString(32)       CODEC(NONE),
    prev     FixedString(32)       CODEC(NONE),      -- zeros for seq 0
    family   UUID                  CODEC(ZSTD(1)),
    time     DateTime64(9, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    agent    LowCardinality(String),                 -- path of the actor
    kind     LowCardinality(String),
    line     String                CODEC(ZSTD(1)),   -- exactly the bytes that the hash covers
    seg      UUID                  CODEC(ZSTD(1)),
    received DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, run, seq, epoch, hash)
SETTINGS index_granularity = 512, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- content: parts (at most 960 KiB) of the bytes that entries, trees and checkpoints of a family name, and of
-- attributes too long for a span.
-- ORDER BY: what a run needs up to a seq is one range; a piece by its name is found by the index `by_name`.
-- Granules are small since a row may be large: 256 rows or 128 KiB.
CREATE TABLE IF NOT EXISTS content
(
    project  LowCardinality(String),
    family   UUID                  CODEC(ZSTD(1)),  -- space attribute: see tables.ConversationFamily
    run      UUID                  CODEC(ZSTD(1)),  -- that shipped it; space attribute: the trace
    seq      Int64                 CODEC(ZSTD(1)),  -- of the first entry that needed it; space attribute: 0
    space    LowCardinality(String),                -- content, object, chunk, attribute
    name     FixedString(32)       CODEC(NONE),     -- journal.Ref, Object or Hash; space attribute: SHA-256 of the whole
    part     UInt32                CODEC(ZSTD(1)),
    parts    UInt32                CODEC(ZSTD(1)),
    size     UInt64                CODEC(ZSTD(1)),  -- of the whole, in bytes
    hash     FixedString(32)       CODEC(NONE),     -- SHA-256 of this part
    bytes    String                CODEC(ZSTD(1)),
    seg      UUID                  CODEC(ZSTD(1)),
    received DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1)),
    INDEX by_name name TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY (project, family, seq, space, name, part, hash)
SETTINGS index_granularity = 256, index_granularity_bytes = 131072,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- bases: the trees that runs began with, once for all runs that began with the same. Objects as in `content`.
-- The object that is the root is shipped last: a tree whose root is here is here as a whole.
-- ORDER BY: an object of a tree whose root is known, as it is from the run's first entry.
CREATE TABLE IF NOT EXISTS bases
(
    project  LowCardinality(String),
    root     FixedString(32)       CODEC(ZSTD(1)),
    name     FixedString(32)       CODEC(NONE),
    part     UInt32                CODEC(ZSTD(1)),
    parts    UInt32                CODEC(ZSTD(1)),
    size     UInt64                CODEC(ZSTD(1)),
    hash     FixedString(32)       CODEC(NONE),
    bytes    String                CODEC(ZSTD(1)),
    seg      UUID                  CODEC(ZSTD(1)),
    received DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, root, name, part, hash)
SETTINGS index_granularity = 256, index_granularity_bytes = 131072,
    non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- families: the salt that a family's content names are made with.
-- version: 0 the salt as it was shipped; 1 erased, the salt is gone (DeleteFamily). A salt that is shipped
--   again after that is swallowed: the higher version wins.
CREATE TABLE IF NOT EXISTS families
(
    project  LowCardinality(String),
    family   UUID,
    version  UInt8,
    salt     String,                                -- 32 bytes, or none
    seg      UUID,
    received DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (project, family)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- heads: signed heads (C2SP tlog-checkpoint) over the first `size` entries.
CREATE TABLE IF NOT EXISTS heads
(
    project  LowCardinality(String),
    run      UUID                  CODEC(ZSTD(1)),
    size     Int64                 CODEC(Delta(8), ZSTD(1)),
    hash     FixedString(32)       CODEC(NONE),     -- SHA-256 of head
    head     String                CODEC(ZSTD(1)),
    seg      UUID                  CODEC(ZSTD(1)),
    received DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, run, size, hash)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- checkpoints: the record that journal.LoadCheckpoint reads; its chunks stand in `content`. A cache: whoever
-- finds none, or one that does not fit, folds from an earlier one.
CREATE TABLE IF NOT EXISTS checkpoints
(
    project  LowCardinality(String),
    run      UUID                  CODEC(ZSTD(1)),
    seq      Int64                 CODEC(Delta(8), ZSTD(1)),  -- of the newest entry folded into it
    hash     FixedString(32)       CODEC(NONE),               -- SHA-256 of record
    record   String                CODEC(ZSTD(1)),
    seg      UUID                  CODEC(ZSTD(1)),
    received DateTime64(3, 'UTC')  CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, run, seq, hash)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- runs: what a list shows of a run of ours. Derived from `entries` by collector/store whenever entries come
-- in, and again from all of them where it is behind, so it may be dropped and is made again.
-- version: entries folded, so the newest row of a run wins.
-- (Runs of source otlp have no row: they are the projection `traces` of `spans`.)
CREATE TABLE IF NOT EXISTS runs
(
    project       LowCardinality(String),
    run           UUID,
    version       UInt64,
    family        UUID,
    parent        UUID,                              -- zeros: not a fork
    parent_seq    Int64,                             -- -1: not a fork
    status        LowCardinality(String),            -- running, paused, ended
    why           LowCardinality(String),            -- of a pause; the outcome
    goal          FixedString(32),                   -- a name of space content
    model         LowCardinality(String),
    started       DateTime64(9, 'UTC'),
    last          DateTime64(9, 'UTC'),              -- time of the newest entry
    entries       Int64,
    tip           FixedString(32),                   -- hash of the newest entry
    agents        Int64,
    held          Int64,                             -- calls that wait for a person
    steps         Int64,
    calls         Int64,
    input_tokens  Int64,
    cached_tokens Int64,
    output_tokens Int64,
    reasoning_tokens Int64,
    estimated     Int64,                             -- tokens of lost attempts among them
    cost_nusd     Int64,
    unpriced      Int64,                             -- answers whose price is unknown
    active_us     Int64,
    limit_steps   Int64,                             -- 0: none, as are those that follow
    limit_tokens  Int64,
    limit_cost_nusd Int64,
    limit_seconds Int64,
    received      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (project, run);
