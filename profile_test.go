//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/inference/profile/profiletest"
	"tachograph/schemas/journal"
	"tachograph/web/owner"
)

// TestProfilesJoinSpans follows what CPU a request took from a sample that Pyroscope receives to the span in
// ClickHouse that it was taken under.
func TestProfilesJoinSpans(t *testing.T) {
	t.Parallel()
	pyroscope, uploads := profiletest.Open(t)
	k := newKilled(t, 2)
	u := k.up("--pyroscope", pyroscope)
	k.tacho(exitDone, "run", "spec.yaml")
	sample := u.readUntilProfiled(k.runs("--source", "tacho")[0].ID, uploads)

	id, err := strconv.ParseUint(sample["span_id"], 16, 64)
	if err != nil {
		t.Fatalf("a sample has the labels %v: %v", sample, err)
	}
	conn := embeddedtest.Connect(t, u.ClickHouse)
	var count uint64
	var service, instance, name, profile string
	u.settle(t, func() bool {
		err := conn.QueryRow(t.Context(), `SELECT count(), any(service), any(JSONExtractString(resource, 'service.instance.id')), any(name), any(attributes['pyroscope.profile.id']) FROM spans
			WHERE span_id = ? AND trace_id = ?`, id, asUUID(sample["trace_id"])).Scan(&count, &service, &instance, &name, &profile)
		if err != nil {
			t.Fatal(err)
		}
		return count > 0
	})
	if count != 1 || service != serviceName || name != sample["span_name"] || profile != sample["span_id"] {
		t.Errorf("the span of the sample %v in ClickHouse: %d rows, %q of %q, with profile %q", sample, count, name, service, profile)
	}
	if id, err := uuid.Parse(instance); err != nil || id == uuid.Nil {
		t.Errorf("the instance of the service is %q", instance)
	}
	u.down()
}

// readUntilProfiled reads from the owner, as other commands do, until an upload has a sample of a span.
func (u *upped) readUntilProfiled(run journal.RunID, uploads chan profiletest.Upload) map[string]string {
	u.t.Helper()
	ctx := u.t.Context()
	client, err := owner.Dial(ctx, filepath.Join(u.dir, "data"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer client.Close()
	var found map[string]string
	u.settle(u.t, func() bool {
		for range 20 {
			for _, err := range client.Entries(ctx, run, 0) {
				if err != nil {
					u.t.Fatal(err)
				}
			}
		}
		for {
			select {
			case upload := <-uploads:
				for _, s := range upload.Samples {
					if s["span_id"] != "" {
						found = s
					}
				}
			default:
				return found != nil
			}
		}
	})
	return found
}

// asUUID writes a trace id as ClickHouse takes it.
func asUUID(hex string) string {
	if len(hex) != 32 {
		return hex
	}
	return fmt.Sprintf("%s-%s-%s-%s-%s", hex[:8], hex[8:12], hex[12:16], hex[16:20], hex[20:])
}
