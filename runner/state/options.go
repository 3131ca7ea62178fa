package state

import (
	"crypto/rand"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a Store. The zero value of each field means its default.
type Options struct {
	Clock  func() time.Time // time.Now; entries of one run never go backwards whatever it says
	Rand   io.Reader        // crypto/rand; salts and the worker's key
	Log    *slog.Logger     // discards
	FS     vfs.FS           // vfs.Default; tests give one that can lose power
	Domain string           // trust domain in the origin of signed heads; "tacho.local"

	// Quota bounds the bytes of rows and files (not of what others keep in the directory); 0 is
	// no bound. Reserve is the space that stays free on the disk, 256 MiB by default, −1 for none.
	// Beyond either, appends that begin new work are refused; see [FullError].
	Quota   int64
	Reserve int64

	CheckpointEvery int           // entries between two checkpoints; 512
	CheckpointBytes int64         // bytes of entries between two checkpoints; 1 MiB
	HeadEvery       time.Duration // a run that grew gets a signed head this often; 1 minute
	CacheBytes      int64         // Pebble's block cache; 64 MiB
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Domain == "" {
		o.Domain = "tacho.local"
	}
	switch o.Reserve {
	case 0:
		o.Reserve = 256 << 20
	case -1:
		o.Reserve = 0
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 512
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 1 << 20
	}
	if o.HeadEvery == 0 {
		o.HeadEvery = time.Minute
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	return o
}
