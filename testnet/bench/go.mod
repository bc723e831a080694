// A module of its own: what is compared with holon later must not become a
// dependency of holon.
module holon/testnet/bench

go 1.26
