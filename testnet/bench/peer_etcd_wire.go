package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// etcdConn speaks the few calls of etcd's v3 API (api/etcdserverpb/rpc.proto)
// that the bench needs. etcd's own client cannot be linked into one program with
// go-libp2p-pubsub: both register a file rpc.proto. This one does less work per
// call than that, which is in etcd's favour.
type etcdConn struct{ *grpc.ClientConn }

// rawCodec passes messages through as they are on the wire.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	message, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not an encoded message", v)
	}
	return message, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	message, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T takes no encoded message", v)
	}
	*message = append((*message)[:0], data...)
	return nil
}

func dialEtcd(endpoint string) (etcdConn, error) {
	const answerMax = 1 << 30
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(answerMax)))
	return etcdConn{conn}, err
}

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func appendNumber(b []byte, field protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), value)
}

// eachField calls f for every field of a message: with its bytes, or its number.
func eachField(message []byte, f func(field protowire.Number, bytes []byte, number uint64)) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var bytes []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		f(field, bytes, number)
		message = message[n:]
	}
	return nil
}

func (c etcdConn) call(ctx context.Context, method string, request []byte) ([]byte, error) {
	var answer []byte
	err := c.Invoke(ctx, method, request, &answer, grpc.WaitForReady(false))
	return answer, err
}

func (c etcdConn) put(ctx context.Context, key string, value []byte) error {
	_, err := c.call(ctx, "/etcdserverpb.KV/Put", appendBytes(appendBytes(nil, 1, []byte(key)), 2, value))
	return err
}

// prefixRange is a RangeRequest or WatchCreateRequest of all keys with a prefix.
func prefixRange(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return appendBytes(appendBytes(nil, 1, []byte(prefix)), 2, end)
}

// list returns the pairs with a prefix and the revision of that state.
func (c etcdConn) list(ctx context.Context, prefix string, each func(kv []byte)) (revision uint64, err error) {
	answer, err := c.call(ctx, "/etcdserverpb.KV/Range", prefixRange(prefix))
	if err != nil {
		return 0, err
	}
	var inner error
	err = eachField(answer, func(field protowire.Number, bytes []byte, _ uint64) {
		switch field {
		case 1: // header
			inner = eachField(bytes, func(f protowire.Number, _ []byte, n uint64) {
				if f == 3 {
					revision = n
				}
			})
		case 2:
			each(bytes)
		}
	})
	return revision, errors.Join(err, inner)
}

// count asks one member, without the others (serializable).
func (c etcdConn) count(ctx context.Context, prefix string) (count int, err error) {
	request := appendNumber(appendNumber(prefixRange(prefix), 7, 1), 9, 1)
	answer, err := c.call(ctx, "/etcdserverpb.KV/Range", request)
	if err != nil {
		return 0, err
	}
	err = eachField(answer, func(field protowire.Number, _ []byte, n uint64) {
		if field == 4 {
			count = int(n)
		}
	})
	return count, err
}

// watch reports events after a revision until ctx ends.
func (c etcdConn) watch(ctx context.Context, prefix string, from uint64, began func(), event func(kv []byte)) error {
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/etcdserverpb.Watch/Watch")
	if err != nil {
		return err
	}
	if err := stream.SendMsg(appendBytes(nil, 1, appendNumber(prefixRange(prefix), 3, from))); err != nil {
		return err
	}
	var answer []byte
	for {
		if err := stream.RecvMsg(&answer); err != nil {
			return err
		}
		cancelled := false
		err := eachField(answer, func(field protowire.Number, bytes []byte, n uint64) {
			switch field {
			case 3:
				began()
			case 4:
				cancelled = n != 0
			case 11:
				event(bytes)
			}
		})
		if cancelled {
			err = errors.New("etcd cancelled the watch")
		}
		if err != nil {
			return err
		}
	}
}

// leads reports whether the member that answers leads.
func (c etcdConn) leads(ctx context.Context) (bool, error) {
	answer, err := c.call(ctx, "/etcdserverpb.Maintenance/Status", nil)
	if err != nil {
		return false, err
	}
	var self, leader uint64
	var inner error
	err = eachField(answer, func(field protowire.Number, bytes []byte, n uint64) {
		switch field {
		case 1: // header
			inner = eachField(bytes, func(f protowire.Number, _ []byte, n uint64) {
				if f == 2 {
					self = n
				}
			})
		case 4:
			leader = n
		}
	})
	return self == leader, errors.Join(err, inner)
}

// snapshot streams the member's database to w.
func (c etcdConn) snapshot(ctx context.Context, w io.Writer) error {
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/etcdserverpb.Maintenance/Snapshot")
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg([]byte(nil)), stream.CloseSend()); err != nil {
		return err
	}
	var answer []byte
	for {
		err := stream.RecvMsg(&answer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var failed error
		err = eachField(answer, func(field protowire.Number, bytes []byte, _ uint64) {
			if field == 3 {
				_, failed = w.Write(bytes)
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
	}
}
