package tables

// Entry is a row of entries.
type Entry struct {
	Project string   `ch:"project"`
	Run     [16]byte `ch:"run"`
	Seq     int64    `ch:"seq"`
	Epoch   int64    `ch:"epoch"`
	Hash    [32]byte `ch:"hash"`
	Prev    [32]byte `ch:"prev"`
	Family  [16]byte `ch:"family"`
	Time    int64    `ch:"time"`
	Agent   string   `ch:"agent"`
	Kind    string   `ch:"kind"`
	Line    []byte   `ch:"line"`
}

// Content is a row of content: a part of a piece of bytes.
type Content struct {
	Project string   `ch:"project"`
	Family  [16]byte `ch:"family"`
	Run     [16]byte `ch:"run"`
	Seq     int64    `ch:"seq"`
	Space   string   `ch:"space"`
	Name    [32]byte `ch:"name"`
	Part    uint32   `ch:"part"`
	Parts   uint32   `ch:"parts"`
	Size    uint64   `ch:"size"`
	Hash    [32]byte `ch:"hash"`
	Bytes   []byte   `ch:"bytes"`
}

// Base is a row of bases: a part of an object of a tree that runs began with.
type Base struct {
	Project string   `ch:"project"`
	Root    [32]byte `ch:"root"`
	Name    [32]byte `ch:"name"`
	Part    uint32   `ch:"part"`
	Parts   uint32   `ch:"parts"`
	Size    uint64   `ch:"size"`
	Hash    [32]byte `ch:"hash"`
	Bytes   []byte   `ch:"bytes"`
}

// Versions of a row of families.
const (
	FamilySalt   = 0
	FamilyErased = 1
)

// Family is a row of families.
type Family struct {
	Project string   `ch:"project"`
	Family  [16]byte `ch:"family"`
	Version uint8    `ch:"version"`
	Salt    []byte   `ch:"salt"`
}

// Head is a row of heads.
type Head struct {
	Project string   `ch:"project"`
	Run     [16]byte `ch:"run"`
	Size    int64    `ch:"size"`
	Hash    [32]byte `ch:"hash"`
	Head    []byte   `ch:"head"`
}

// Checkpoint is a row of checkpoints.
type Checkpoint struct {
	Project string   `ch:"project"`
	Run     [16]byte `ch:"run"`
	Seq     int64    `ch:"seq"`
	Hash    [32]byte `ch:"hash"`
	Record  []byte   `ch:"record"`
}

// Run is a row of runs. It has no segment: it is derived.
type Run struct {
	Project         string   `ch:"project"`
	Run             [16]byte `ch:"run"`
	Version         uint64   `ch:"version"`
	Family          [16]byte `ch:"family"`
	Parent          [16]byte `ch:"parent"`
	ParentSeq       int64    `ch:"parent_seq"`
	Status          string   `ch:"status"`
	Why             string   `ch:"why"`
	Goal            [32]byte `ch:"goal"`
	Model           string   `ch:"model"`
	Started         int64    `ch:"started"`
	Last            int64    `ch:"last"`
	Entries         int64    `ch:"entries"`
	Tip             [32]byte `ch:"tip"`
	Agents          int64    `ch:"agents"`
	Held            int64    `ch:"held"`
	Steps           int64    `ch:"steps"`
	Calls           int64    `ch:"calls"`
	InputTokens     int64    `ch:"input_tokens"`
	CachedTokens    int64    `ch:"cached_tokens"`
	OutputTokens    int64    `ch:"output_tokens"`
	ReasoningTokens int64    `ch:"reasoning_tokens"`
	Estimated       int64    `ch:"estimated"`
	CostNUSD        int64    `ch:"cost_nusd"`
	Unpriced        int64    `ch:"unpriced"`
	ActiveUS        int64    `ch:"active_us"`
	LimitSteps      int64    `ch:"limit_steps"`
	LimitTokens     int64    `ch:"limit_tokens"`
	LimitCostNUSD   int64    `ch:"limit_cost_nusd"`
	LimitSeconds    int64    `ch:"limit_seconds"`
}
