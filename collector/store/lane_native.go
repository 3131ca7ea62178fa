package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

// nativeLane is a connection of ClickHouse's native protocol. Not for the embedded engine, which a client that hangs up
// in the middle would abort.
type nativeLane struct {
	client *ch.Client
	life   string
}

func newNativeLane(ctx context.Context, o *clickhouse.Options) (*nativeLane, error) {
	settings := []ch.Setting{}
	for name, value := range o.Settings {
		settings = append(settings, ch.Setting{Key: name, Value: fmt.Sprint(value), Important: true})
	}
	client, err := ch.Dial(ctx, ch.Options{Address: o.Addr[0], Database: o.Auth.Database, User: o.Auth.Username, Password: o.Auth.Password,
		TLS: o.TLS, DialTimeout: o.DialTimeout, ReadTimeout: hangUp, Compression: ch.CompressionLZ4, Settings: settings, ClientName: "tacho"})
	if err != nil {
		return nil, err
	}
	n := &nativeLane{client: client}
	for range 2 {
		var id proto.ColUUID
		err := n.do(ctx, ch.Query{Body: askLife, Result: proto.Results{{Name: "", Data: &id}}})
		if err == nil && id.Rows() == 1 && id.Row(0) != uuid.Nil {
			n.life = id.Row(0).String()
			return n, nil
		}
		if err == nil {
			err = n.do(ctx, ch.Query{Body: makeLife})
		}
		if err != nil {
			n.close()
			return nil, err
		}
	}
	n.close()
	return nil, errors.New(lifeMissing)
}

func (n *nativeLane) Life() string { return n.life }

func (n *nativeLane) Present(ctx context.Context, table string, segment [16]byte) (bool, error) {
	var found proto.ColUInt8
	err := n.do(ctx, ch.Query{Body: askPresent, Parameters: ch.Parameters(map[string]any{"table": table, "seg": uuid.UUID(segment).String()}),
		Result: proto.Results{{Name: "", Data: &found}}})
	if err == nil && found.Rows() != 1 {
		err = fmt.Errorf("answered %d rows where one is due", found.Rows())
	}
	return err == nil && found.Row(0) == 1, err
}

func (n *nativeLane) Insert(ctx context.Context, s *sending, token string) error {
	query := ch.Query{Body: s.statement() + " VALUES", Input: s.columns}
	for name, value := range insertSettings(token) {
		query.Settings = append(query.Settings, ch.Setting{Key: name, Value: value, Important: true})
	}
	return n.do(ctx, query)
}

func (n *nativeLane) do(ctx context.Context, query ch.Query) error {
	if n.client.IsClosed() {
		return errHungUp
	}
	err := n.client.Do(ctx, query)
	var refused *ch.Exception
	if errors.As(err, &refused) {
		return &Exception{Code: int(refused.Code), Message: refused.Error()}
	}
	return err
}

func (n *nativeLane) close() { n.client.Close() }
