package eth

import (
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rlp"
)

// TestEncoding pins the bytes of both versions.
func TestEncoding(t *testing.T) {
	var (
		genesis = common.HexToHash("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3")
		fork    = ForkID{Hash: Bytes4{0x07, 0xc9, 0x46, 0x2e}}
		td, _   = new(big.Int).SetString("c70d815d562d3cfa955", 16)
	)
	tests := []struct {
		status any
		want   string
	}{
		{
			&Status68{68, 1, td, common.HexToHash("1111111111111111111111111111111111111111111111111111111111111111"), genesis, fork},
			"f85644018a0c70d815d562d3cfa955a01111111111111111111111111111111111111111111111111111111111111111a0d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3c68407c9462e80",
		},
		{
			&Status69{69, 1, genesis, fork, 15537394, 25000000, common.HexToHash("2222222222222222222222222222222222222222222222222222222222222222")},
			"f8544501a0d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3c68407c9462e8083ed14f284017d7840a02222222222222222222222222222222222222222222222222222222222222222",
		},
	}
	for _, test := range tests {
		got, err := rlp.EncodeToBytes(test.status)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != test.want {
			t.Errorf("%T: got %x, want %s", test.status, got, test.want)
		}
	}
}
