package embedded

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed config.xml.tmpl
var configText string

//go:embed users.xml.tmpl
var usersText string

// Database is the one that exists after Open, and the one the DSNs name.
const Database = "tacho"

// The log never takes more than maxLogFiles+1 files of maxLogSize.
const (
	maxLogSize  = "10M"
	maxLogFiles = 3
	logLevel    = "warning"
)

// setting is one line of the server's configuration.
type setting struct {
	Name  string
	Value int64
}

// caps keep the engine at about 0.9 GB and 50 threads under full load, and a third of that when idle.
func caps(mode string) []setting {
	all := []setting{
		{"max_server_memory_usage", 1_500_000_000},
		{"max_connections", 64},
		{"max_concurrent_queries", 32},
		{"max_io_thread_pool_size", 8},
		{"max_io_thread_pool_free_size", 2},
		{"max_active_parts_loading_thread_pool_size", 2},
		{"max_outdated_parts_loading_thread_pool_size", 2},
		{"max_parts_cleaning_thread_pool_size", 2},
		{"max_build_vector_similarity_index_thread_pool_size", 1},
		{"tables_loader_foreground_pool_size", 2},
		{"tables_loader_background_pool_size", 2},
		{"background_pool_size", 2},
		{"background_merges_mutations_concurrency_ratio", 2},
		{"background_fetches_pool_size", 1},
		{"background_common_pool_size", 2},
		{"background_move_pool_size", 1},
		{"mark_cache_size", 64 << 20},
		{"index_mark_cache_size", 16 << 20},
		{"primary_index_cache_size", 32 << 20},
		{"uncompressed_cache_size", 0},
		{"index_uncompressed_cache_size", 0},
		{"mmap_cache_size", 64},
		{"compiled_expression_cache_size", 8 << 20},
		{"vector_similarity_index_cache_size", 256 << 20},
		{"text_index_tokens_cache_size", 16 << 20},
		{"asynchronous_metrics_update_period_s", 10},
	}
	if mode == modeServer {
		// A server has pools that the local one lacks, with a hundred threads and more by default. Its number of threads is
		// left alone, as one that is too small for its pools keeps a server from starting.
		return append(all,
			setting{"background_buffer_flush_schedule_pool_size", 1},
			setting{"background_message_broker_schedule_pool_size", 1},
			setting{"background_distributed_schedule_pool_size", 1})
	}
	return append(all,
		setting{"max_thread_pool_size", 64},
		setting{"max_thread_pool_free_size", 8},
		setting{"thread_pool_queue_size", 1000})
}

// access is what a client needs to know. It is kept in access.json, so that an address that was handed out, to Grafana
// for example, is valid after a restart of tacho too.
type access struct {
	Port    int    `json:"port"`
	Writer  string `json:"tacho"` // passwords
	Reader  string `json:"reader"`
	Grafana string `json:"grafana"`
}

// dsn is the clickhouse-go address of a user. It has no parameters: limits stand in the user's profile.
func (a access) dsn(user, password string) string {
	u := url.URL{Scheme: "http", User: url.UserPassword(user, password), Host: "127.0.0.1:" + strconv.Itoa(a.Port), Path: "/" + Database}
	return u.String()
}

// loadAccess reads access.json, or makes new passwords where there is none that can be read.
func loadAccess(dir string) (access, error) {
	var a access
	text, err := os.ReadFile(filepath.Join(dir, "access.json"))
	if err == nil && json.Unmarshal(text, &a) == nil && a.Writer != "" && a.Reader != "" && a.Grafana != "" {
		return a, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return access{}, err
	}
	return access{Writer: rand.Text(), Reader: rand.Text(), Grafana: rand.Text()}, nil
}

func (a access) save(dir string) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return writePrivate(filepath.Join(dir, "access.json"), text)
}

// writeConfig writes config.xml and users.xml into dir. The engine gets hashes of the passwords only.
func writeConfig(dir, mode string, a access) error {
	err := render(filepath.Join(dir, "config.xml"), configText, map[string]any{
		"Data": xmlText(filepath.Join(dir, "data")), "Tmp": xmlText(filepath.Join(dir, "tmp")), "Log": xmlText(filepath.Join(dir, "log")),
		"Users": xmlText(filepath.Join(dir, "users.xml")), "Port": a.Port, "Caps": caps(mode),
		"LogSize": maxLogSize, "LogLevel": logLevel, "LogCount": maxLogFiles,
	})
	if err != nil {
		return err
	}
	return render(filepath.Join(dir, "users.xml"), usersText, map[string]string{
		"Writer": hash(a.Writer), "Reader": hash(a.Reader), "Grafana": hash(a.Grafana),
	})
}

func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// xmlText escapes a path for the configuration.
func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func render(path, text string, data any) error {
	t, err := template.New(filepath.Base(path)).Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return writePrivate(path, b.Bytes())
}

// writePrivate replaces a file by one that only its owner can read; after a crash there is the old or the new.
func writePrivate(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // CreateTemp makes it 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// nextStart counts a start in the file starts, durably, and gives its number.
func nextStart(dir string) (uint64, error) {
	path := filepath.Join(dir, "starts")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	var last uint64
	if err == nil {
		if last, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return 0, fmt.Errorf("read %s: %w; write into it a number that is larger than every start so far", path, err)
		}
	}
	return last + 1, writePrivate(path, []byte(strconv.FormatUint(last+1, 10)+"\n"))
}
