-- SPDX-License-Identifier: BSD-2-Clause
--
-- A Wireshark dissector of the service protocol, written from docs/protocol.md alone: its section and
-- fault names are those of that page.  Shows every field, links requests and answers, and warns of each
-- fault of section 7 that one message shows by itself.  Knows no keys: a MAC is shown, not verified.

local turnout = Proto("turnout", "Turnout service message")

local HEADER, SEGMENT_HEADER, LARGEST, REQUIRED = 40, 4, 65507, 0x80
local MAC_LENGTHS = { [1] = 16, [2] = 16, [3] = 8 }
local TCP, UDP = 6, 17
local INTEREST_BITS = 0x81ff

local MESSAGES = {
	[1] = "wildcard update", [2] = "fixed update", [3] = "deny", [4] = "interest match, wildcard",
	[5] = "interest match, fixed", [6] = "IP packet only", [128] = "hello", [129] = "challenge",
	[130] = "challenge response", [131] = "refresh", [132] = "ask", [133] = "held",
}
local SEGMENTS = {
	[1] = "wildcard", [2] = "fixed", [3] = "identifier", [4] = "service precedence", [5] = "backup precedence",
	[6] = "security", [7] = "SM interest data", [8] = "FA interest data", [9] = "identity", [10] = "NAT",
	[11] = "advertise", [12] = "sequence adjust", [13] = "interest criteria", [14] = "action list",
	[15] = "IP packet", [128] = "ranges", [129] = "tunnel", [130] = "nonce", [131] = "error", [132] = "listing",
	[133] = "reject",
}
local REPEATED = { [10] = 4, [11] = 4, [13] = 4 }
-- Segments that must be there, and that may, and whether destination 0 is allowed: section 5.
local ALLOWED = {
	[1] = { anybody = true, must = { 1 }, may = { 128, 14, 4, 5, 10, 11, 12, 13, 129, 133, 9, 7 } },
	[2] = { must = { 2 }, may = { 4, 5, 10, 12, 13, 129, 133, 9, 7, 8, 15 } },
	[3] = { must = { 14 }, may = { 1, 128, 2, 4, 5, 131, 9, 7, 8 } },
	[4] = { must = { 3 }, may = { 9, 7, 8, 15 } },
	[5] = { must = { 3 }, may = { 9, 7, 8, 15 } },
	[6] = { must = { 15 }, may = { 8 } },
	[128] = { anybody = true, must = { 9, 14 }, may = {} },
	[129] = { anybody = true, must = { 130 }, may = { 9 } },
	[130] = { must = { 130 }, may = { 9 } },
	[131] = { must = { 3 }, may = { 9, 7, 8 } },
	[132] = { must = { 132 }, may = { 9 } },
	[133] = { must = { 132 }, may = { 1, 128, 2, 4, 5, 10, 11, 12, 13, 129, 133, 9, 7 } },
}
local FAMILIES = { [0] = "none", [4] = "IPv4", [6] = "IPv6" }
local PROTOCOLS = { [0] = "any", [1] = "ICMP", [6] = "TCP", [17] = "UDP", [58] = "ICMPv6" }
local SCHEMES = { [1] = "keyed MD5", [2] = "HMAC-SHA-256", [3] = "HMAC-SHA-256 short" }
local ERRORS = { [1] = "unsupported", [2] = "not covered", [3] = "no room", [4] = "forbidden" }
local TUNNELS = { [1] = "IP in IP", [2] = "IP in UDP" }
local REJECTS = { [1] = "prohibited", [2] = "unreachable" }
local RANGES = { [1] = "source", [2] = "destination", [3] = "source port", [4] = "destination port" }

-- ---- fields ----

local F = {}

local function field(name, kind, label, ...)
	F[name] = ProtoField[kind]("turnout." .. name, label, ...)
end

local function address_field(name, label)
	field(name .. ".ipv4", "ipv4", label)
	field(name .. ".ipv6", "ipv6", label)
end

-- A field that may be absent has a byte for its family, too.
local function addr_field(name, label)
	field(name .. ".family", "uint8", label .. " family", base.DEC, FAMILIES)
	address_field(name, label)
end

-- A field of bits, and each of them: { mask, name, label }.
local function bits_field(name, label, width, bits)
	field(name, "uint" .. width, label, base.HEX)
	local names = {}
	for _, bit in ipairs(bits) do
		field(name .. "." .. bit[2], "bool", bit[3], width, nil, bit[1])
		names[#names + 1] = name .. "." .. bit[2]
	end
	return names
end

field("version", "uint8", "version", base.DEC)
field("type", "uint8", "type", base.DEC, MESSAGES)
field("length", "uint16", "length", base.DEC)
field("zero", "bytes", "zero")
field("source", "uint64", "source", base.HEX)
field("incarnation", "uint64", "incarnation", base.DEC)
field("destination", "uint64", "destination", base.HEX)
field("sequence", "uint64", "sequence", base.DEC)
field("request_in", "framenum", "Request in", base.NONE, frametype.REQUEST)
field("answer_in", "framenum", "Answer in", base.NONE, frametype.RESPONSE)
field("time", "relative_time", "Time from request to answer")
field("segment", "bytes", "segment")
field("segment.type", "uint8", "segment type", base.DEC, SEGMENTS)
local SEGMENT_FLAGS = bits_field("segment.flags", "flags", 8, { { 0x80, "required", "required" } })
field("segment.length", "uint16", "length", base.DEC)
field("opaque", "bytes", "opaque")
field("trailing", "bytes", "left over")

field("key.family", "uint8", "family", base.DEC, FAMILIES)
field("key.protocol", "uint8", "protocol", base.DEC, PROTOCOLS)
local AFFINITY_FLAGS = bits_field("affinity.flags", "flags", 8, {
	{ 0x01, "dispatch", "dispatch" }, { 0x02, "information", "information" }, { 0x04, "protected", "protected" },
	{ 0x08, "drop_gone", "drop-without-agent" }, { 0x10, "route_silent", "route-on-silence" } })
field("affinity.ttl", "uint32", "TTL", base.UNIT_STRING, { " s" })
field("key.source_port", "uint16", "source port", base.DEC)
field("key.destination_port", "uint16", "destination port", base.DEC)
address_field("key.source", "source")
address_field("key.source_mask", "source mask")
address_field("key.destination", "destination")
address_field("key.destination_mask", "destination mask")
addr_field("affinity.forward", "forward")

local function interest_field(name, label)
	return bits_field(name, label, 16, {
		{ 0x0001, "fin", "fin" }, { 0x0002, "syn", "syn" }, { 0x0004, "rst", "rst" }, { 0x0008, "psh", "psh" },
		{ 0x0010, "ack", "ack" }, { 0x0020, "urg", "urg" }, { 0x0040, "data", "data" },
		{ 0x0080, "first_data", "first-data" }, { 0x0100, "fragment", "fragment" }, { 0x8000, "all", "all" } })
end

local INTEREST = {}
INTEREST["identifier.reasons"] = interest_field("identifier.reasons", "reasons")
INTEREST["interest.interest"] = interest_field("interest.interest", "interest")
INTEREST["interest.data"] = interest_field("interest.data", "data")
INTEREST["interest.copy"] = interest_field("interest.copy", "copy")
INTEREST["interest.hold"] = interest_field("interest.hold", "hold")
field("interest.port", "uint16", "port", base.DEC)
addr_field("interest.address", "address")

local PRECEDENCE_FLAGS = bits_field("precedence.flags", "flags", 8, { { 0x01, "lower_first", "lower first" } })
field("precedence.value", "uint32", "value", base.DEC)
field("backup.value", "uint32", "value", base.DEC)
field("security.scheme", "uint8", "scheme", base.DEC, SCHEMES)
field("security.key", "uint32", "key", base.DEC)
field("security.mac", "bytes", "MAC")
field("sm_data", "bytes", "opaque")
field("fa_data", "bytes", "opaque")
addr_field("identity.address", "address")
field("identity.name.length", "uint8", "name: length", base.DEC)
field("identity.name", "string", "name")
local NAT_BITS = bits_field("nat.set", "set", 8, {
	{ 0x01, "source", "source" }, { 0x02, "source_port", "source port" }, { 0x04, "destination", "destination" },
	{ 0x08, "destination_port", "destination port" } })
field("nat.source_port", "uint16", "source port", base.DEC)
field("nat.destination_port", "uint16", "destination port", base.DEC)
addr_field("nat.source", "source")
addr_field("nat.destination", "destination")
field("advertise.length", "uint8", "prefix length", base.DEC)
addr_field("advertise.address", "address")
field("adjust.sequence_delta", "uint32", "sequence delta", base.DEC)
field("adjust.initial_sequence", "uint32", "initial sequence", base.DEC)
field("adjust.ack_delta", "uint32", "ACK delta", base.DEC)
field("adjust.initial_ack", "uint32", "initial ACK", base.DEC)
field("action", "uint8", "type", base.DEC, SEGMENTS)
field("ip_packet", "bytes", "IP packet")
field("range.field", "uint8", "field", base.DEC, RANGES)
for _, bound in ipairs({ "lower", "upper" }) do
	field("range." .. bound .. ".port", "uint16", bound, base.DEC)
	address_field("range." .. bound, bound)
end
field("tunnel.kind", "uint8", "kind", base.DEC, TUNNELS)
field("tunnel.hop_limit", "uint8", "hop limit", base.DEC)
field("tunnel.port", "uint16", "UDP port", base.DEC)
addr_field("tunnel.remote", "remote")
addr_field("tunnel.local", "local")
field("nonce", "bytes", "nonce")
field("nonce.group_sequence", "uint64", "group sequence", base.DEC)
field("error.code", "uint16", "code", base.DEC, ERRORS)
field("error.text.length", "uint8", "text: length", base.DEC)
field("error.text", "string", "text")
local LISTING_FLAGS = bits_field("listing.flags", "flags", 8, { { 0x01, "end", "end" } })
field("listing.cursor", "uint32", "cursor", base.DEC)
field("listing.token", "uint32", "token", base.HEX)
field("reject.kind", "uint8", "kind", base.DEC, REJECTS)

local fields = {}
for _, one in pairs(F) do fields[#fields + 1] = one end
turnout.fields = fields

-- ---- faults: the names of section 7, each a filter of its own (turnout.fault.order) ----

local FAULTS = { "short", "long", "version", "type", "header", "truncated", "overlong", "duplicate", "missing",
	"not-allowed", "order", "value", "contradiction", "required" }
local E, experts = {}, {}
for _, name in ipairs(FAULTS) do
	local group = name == "required" and expert.group.UNDECODED or expert.group.MALFORMED
	E[name] = ProtoExpert.new("turnout.fault." .. name:gsub("-", "_"), "refused: " .. name, group,
		expert.severity.WARN)
	experts[#experts + 1] = E[name]
end
E.cut = ProtoExpert.new("turnout.cut", "The capture does not have the whole message", expert.group.UNDECODED,
	expert.severity.NOTE)
experts[#experts + 1] = E.cut
turnout.experts = experts

local function fault(item, name, text)
	item:add_proto_expert_info(E[name], name .. ": " .. text)
end

-- ---- preferences ----

turnout.prefs.ports = Pref.range("UDP ports", "7510-7511", "Ports of service messages: unicast and group", 65535)
turnout.prefs.inner = Pref.bool("Dissect enclosed packets", true, "Hand IP packets inside messages to Wireshark's IP")

-- ---- reading a segment's body ----

local Reader = {}
Reader.__index = Reader

-- Takes size bytes off the body; raises a table, which is a fault and no error of this script.
function Reader:take(size)
	if self.stop - self.at < size then
		error({ fault = "truncated", text = "a field runs past its segment" }, 0)
	end
	self.at = self.at + size
	return self.tvb(self.at - size, size)
end

function Reader:left()
	return self.stop - self.at
end

-- Adds one field; its bytes and its item.
function Reader:add(name, size)
	local range = self:take(size)
	return range, self.tree:add(F[name], range)
end

function Reader:uint(name, size)
	local range, item = self:add(name, size)
	return range:uint(), item
end

function Reader:zero(size)
	local range, item = self:add("zero", size)
	if range:raw() ~= string.rep("\0", size) then
		fault(item, "value", "reserved bytes that are not zero")
	end
end

-- A field of bits; allowed: those that may be set.
function Reader:bits(name, size, names, allowed)
	local range, item = self:add(name, size)
	for _, one in ipairs(names) do item:add(F[one], range) end
	local value = range:uint()
	if bit32.band(value, bit32.bnot(allowed)) ~= 0 then
		fault(item, "value", string.format("bits 0x%x", bit32.band(value, bit32.bnot(allowed))))
	end
	return value, item
end

function Reader:family()
	local family, item = self:uint("key.family", 1)
	if family ~= 4 and family ~= 6 then
		error({ fault = "value", text = "family " .. family, item = item }, 0)
	end
	return family
end

-- An address of a known family: its bytes, its item, and its words.
function Reader:address(name, family)
	local range, item = self:add(name .. (family == 4 and ".ipv4" or ".ipv6"), family == 4 and 4 or 16)
	return range:raw(), item, tostring(family == 4 and range:ipv4() or range:ipv6())
end

-- An `addr` field: nil or { family, raw }, and its item.
function Reader:addr(name)
	local family, item = self:uint(name .. ".family", 1)
	if family == 0 then return nil, item end
	if family ~= 4 and family ~= 6 then
		error({ fault = "value", text = "family " .. family, item = item }, 0)
	end
	local raw, words
	raw, item, words = self:address(name, family)
	return { family = family, raw = raw, words = words }, item
end

function Reader:text(name, longest)
	local size, item = self:uint(name .. ".length", 1)
	if size > longest then fault(item, "value", "text of " .. size .. " bytes") end
	if size == 0 then return "" end
	local range
	range, item = self:add(name, size)
	if range:raw():find("[^\32-\126]") then fault(item, "value", "text that is not printable") end
	return range:raw()
end

local function is_zero(raw)
	return raw == string.rep("\0", #raw)
end

local function is_ones(raw)
	return raw == string.rep("\255", #raw)
end

-- Is a below b?  Byte by byte, since Lua compares strings by the locale.
local function below(a, b)
	for i = 1, #a do
		if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
	end
	return false
end

-- The ones in front of an address, and whether nothing but zeros follows them.
local function prefix_of(raw)
	local ones, ended, clean = 0, false, true
	for i = 1, #raw do
		for shift = 7, 0, -1 do
			local set = bit32.extract(raw:byte(i), shift) == 1
			if set and ended then clean = false end
			if not set then ended = true end
			if not ended then ones = ones + 1 end
		end
	end
	return ones, clean
end

local function bits_beyond(raw, length)
	for i = length, #raw * 8 - 1 do
		if bit32.extract(raw:byte(math.floor(i / 8) + 1), 7 - i % 8) == 1 then return true end
	end
	return false
end

local function has_ports(proto)
	return proto == TCP or proto == UDP
end

-- ---- one function a segment type: what it says, as far as later rules ask for it ----

local function ports(r, proto)
	local sport, source = r:uint("key.source_port", 2)
	local dport, destination = r:uint("key.destination_port", 2)
	if not has_ports(proto) then
		if sport ~= 0 then fault(source, "contradiction", "a port without protocol 6 or 17") end
		if dport ~= 0 then fault(destination, "contradiction", "a port without protocol 6 or 17") end
	end
	return sport, dport
end

local function forward(r, family)
	local address, item = r:addr("affinity.forward")
	if address and address.family ~= family then
		fault(item, "contradiction", "forward address of another family")
	end
	return address
end

local function endpoint(words, port, proto)
	if not has_ports(proto) or port == 0 then return words end
	if words:find("/") then return words .. " port " .. port end
	return words:find(":") and "[" .. words .. "]:" .. port or words .. ":" .. port
end

local function flow_words(key)
	return string.format("%s %s > %s", PROTOCOLS[key.proto] or "protocol " .. key.proto,
		endpoint(key.src_words, key.sport, key.proto), endpoint(key.dst_words, key.dport, key.proto))
end

local parse = {}

parse[1] = function(r)
	local w = { family = r:family(), proto = r:uint("key.protocol", 1) }
	w.flags = r:bits("affinity.flags", 1, AFFINITY_FLAGS, 0x1f)
	r:zero(1)
	w.ttl = r:uint("affinity.ttl", 4)
	w.sport, w.dport = ports(r, w.proto)
	local _
	_, _, w.src_words = r:address("key.source", w.family)
	w.src_mask = r:address("key.source_mask", w.family)
	_, _, w.dst_words = r:address("key.destination", w.family)
	w.dst_mask = r:address("key.destination_mask", w.family)
	w.src_words = w.src_words .. "/" .. prefix_of(w.src_mask)
	w.dst_words = w.dst_words .. "/" .. prefix_of(w.dst_mask)
	w.forward = forward(r, w.family)
	w.words = flow_words(w) .. (w.ttl == 0 and ", delete" or "")
	return w
end

parse[2] = function(r)
	local f = { family = r:family(), proto = r:uint("key.protocol", 1) }
	f.flags = r:bits("affinity.flags", 1, AFFINITY_FLAGS, 0x03)
	r:zero(1)
	f.ttl = r:uint("affinity.ttl", 4)
	local from = r.at
	f.sport, f.dport = ports(r, f.proto)
	local _
	_, _, f.src_words = r:address("key.source", f.family)
	_, _, f.dst_words = r:address("key.destination", f.family)
	f.key = string.char(f.family, f.proto) .. r.tvb(from, r.at - from):raw()
	f.forward = forward(r, f.family)
	f.words = flow_words(f) .. (f.ttl == 0 and ", delete" or "")
	return f
end

parse[3] = function(r)
	local i = { family = r:family(), proto = r:uint("key.protocol", 1) }
	r:bits("affinity.flags", 1, AFFINITY_FLAGS, 0x1f)
	r:zero(1)
	r:bits("identifier.reasons", 2, INTEREST["identifier.reasons"], INTEREST_BITS)
	r:zero(2)
	local from = r.at
	i.sport, i.dport = ports(r, i.proto)
	local _
	_, _, i.src_words = r:address("key.source", i.family)
	_, _, i.dst_words = r:address("key.destination", i.family)
	i.key = string.char(i.family, i.proto) .. r.tvb(from, r.at - from):raw()
	i.words = flow_words(i)
	return i
end

parse[4] = function(r)
	r:bits("precedence.flags", 1, PRECEDENCE_FLAGS, 0x01)
	r:zero(3)
	r:uint("precedence.value", 4)
	return {}
end

parse[5] = function(r)
	r:uint("backup.value", 4)
	return {}
end

parse[6] = function(r)
	local scheme, item = r:uint("security.scheme", 1)
	if scheme == 0 then fault(item, "value", "scheme 0") end
	r:zero(3)
	r:uint("security.key", 4)
	r:add("security.mac", MAC_LENGTHS[scheme] or math.max(1, math.min(32, r:left())))
	return {}
end

local function opaque(name)
	return function(r)
		local size = math.min(128, r:left())
		if size == 0 then return { data = "" } end
		return { data = r:add(name, size):raw() }
	end
end
parse[7], parse[8] = opaque("sm_data"), opaque("fa_data")

parse[9] = function(r)
	r:addr("identity.address")
	return { words = '"' .. r:text("identity.name", 63):gsub("[^\32-\126]", "?") .. '"' }
end

-- A NAT field: set and there, or neither; never zero.
local function nat_field(item, set, there, zero, what)
	if set and not there or there and not set then
		fault(item, "contradiction", what .. (set and " set and absent" or " there and not set"))
	end
	if there and zero then fault(item, "value", what .. " is zero") end
end

parse[10] = function(r)
	local n = {}
	local bits, item = r:bits("nat.set", 1, NAT_BITS, 0x0f)
	if bit32.band(bits, 0x0f) == 0 then fault(item, "value", "nothing is set") end
	n.ports = bit32.band(bits, 0x0a) ~= 0
	r:zero(1)
	for _, one in ipairs({ { "nat.source_port", 0x02 }, { "nat.destination_port", 0x08 } }) do
		local port
		port, item = r:uint(one[1], 2)
		local set = bit32.btest(bits, one[2])
		if set and port == 0 then fault(item, "value", "port 0") end
		if not set and port ~= 0 then fault(item, "contradiction", "port there and not set") end
	end
	r:zero(2)
	for name, bit in pairs({ src = 0x01, dst = 0x04 }) do n[name .. "_set"] = bit32.btest(bits, bit) end
	n.src, item = r:addr("nat.source")
	nat_field(item, n.src_set, n.src ~= nil, n.src and is_zero(n.src.raw), "source address")
	n.dst, item = r:addr("nat.destination")
	nat_field(item, n.dst_set, n.dst ~= nil, n.dst and is_zero(n.dst.raw), "destination address")
	return n
end

parse[11] = function(r)
	local length, length_item = r:uint("advertise.length", 1)
	r:zero(1)
	local address, item = r:addr("advertise.address")
	local most = address and #address.raw * 8 or 0
	if length > most then
		fault(length_item, "value", "prefix length " .. length)
	elseif address and bits_beyond(address.raw, length) then
		fault(item, "value", "bits beyond the prefix")
	end
	return { address = address }
end

parse[12] = function(r)
	r:uint("adjust.sequence_delta", 4)
	r:uint("adjust.initial_sequence", 4)
	r:uint("adjust.ack_delta", 4)
	r:uint("adjust.initial_ack", 4)
	return {}
end

parse[13] = function(r)
	for _, name in ipairs({ "interest", "data", "copy", "hold" }) do
		name = "interest." .. name
		r:bits(name, 2, INTEREST[name], INTEREST_BITS)
	end
	local port = r:uint("interest.port", 2)
	r:zero(2)
	local address, item = r:addr("interest.address")
	if (address == nil) ~= (port == 0) then fault(item, "contradiction", "an address without a port, or the reverse") end
	if address and is_zero(address.raw) then fault(item, "value", "address is zero") end
	return {}
end

parse[14] = function(r)
	local types = math.min(32, r:left())
	for _ = 1, types do
		local kind, item = r:uint("action", 1)
		if kind == 0 then fault(item, "value", "type 0") end
	end
	return { empty = types == 0 }
end

parse[15] = function(r)
	if r:left() == 0 then error({ fault = "truncated", text = "empty IP packet" }, 0) end
	local range, item = r:add("ip_packet", r:left())
	local version = bit32.rshift(range(0, 1):uint(), 4)
	if version ~= 4 and version ~= 6 then
		fault(item, "value", "IP version " .. version)
		return {}
	end
	if range:len() < (version == 4 and 20 or 40) then
		fault(item, "truncated", "IP header")
		return {}
	end
	return { family = version, packet = range, item = item }
end

parse[128] = function(r, found)
	local wild, items = found[1] and found[1][1], {}
	while r:left() > 0 and #items < 16 do
		local kind, item = r:uint("range.field", 1)
		if not RANGES[kind] then error({ fault = "value", text = "range field " .. kind, item = item }, 0) end
		r:zero(1)
		local low, high
		if kind > 2 then
			low = r:add("range.lower.port", 2):raw()
			high = r:add("range.upper.port", 2):raw()
		else
			if not wild then error({ fault = "order", text = "ranges without a wildcard before them", item = item }, 0) end
			low = r:address("range.lower", wild.family)
			high = r:address("range.upper", wild.family)
		end
		if below(high, low) then fault(item, "contradiction", "range upside down") end
		items[#items + 1] = { kind = kind, item = item }
	end
	if #items == 0 then error({ fault = "value", text = "no ranges" }, 0) end
	return { items = items }
end

parse[129] = function(r)
	local kind, item = r:uint("tunnel.kind", 1)
	if not TUNNELS[kind] then fault(item, "value", "tunnel kind " .. kind) end
	r:uint("tunnel.hop_limit", 1)
	local port, port_item = r:uint("tunnel.port", 2)
	if (kind == 2) ~= (port ~= 0) then fault(port_item, "contradiction", "UDP port of this kind") end
	local remote
	remote, item = r:addr("tunnel.remote")
	if not remote or is_zero(remote.raw) then fault(item, "value", "no remote address") end
	local near
	near, item = r:addr("tunnel.local")
	if near and remote and near.family ~= remote.family then
		fault(item, "contradiction", "local address of another family")
	end
	return {}
end

parse[130] = function(r)
	local nonce = r:add("nonce", 16):raw()
	local range, item = r:add("nonce.group_sequence", 8)
	return { nonce = nonce, group_sequence = range:uint64(), item = item }
end

parse[131] = function(r)
	local code, item = r:uint("error.code", 2)
	if code == 0 then fault(item, "value", "code 0") end
	r:text("error.text", 127)
	return { code = code, words = ERRORS[code] or "error " .. code }
end

parse[132] = function(r)
	local flags = r:bits("listing.flags", 1, LISTING_FLAGS, 0x01)
	r:zero(3)
	r:uint("listing.cursor", 4)
	return { last = bit32.btest(flags, 1), token = r:add("listing.token", 4):raw() }
end

parse[133] = function(r)
	local kind, item = r:uint("reject.kind", 1)
	if not REJECTS[kind] then fault(item, "value", "kind " .. kind) end
	r:zero(3)
	return {}
end

-- ---- requests and answers ----

-- Latest request of each key: { frame, time }.  By frame: the frame of the request, and of the first answer.
local requests, request_of, answer_of

function turnout.init()
	requests, request_of, answer_of = {}, {}, {}
end

-- What a message asks, as keys under which its answer looks for it.
local function asks(m)
	local id, keys = m.source_raw, {}
	local affinity = m.found[1] or m.found[2]
	local flow, cookie, token = m.found[3], m.found[8], m.found[132]
	if m.type == 129 and m.found[130] then
		keys = { "nonce" .. id .. m.found[130][1].nonce }
	elseif m.type == 132 and token then
		keys = { "listing" .. id .. m.destination_raw .. token[1].token }
	elseif (m.type == 1 or m.type == 2) and affinity then
		keys = { "update" .. id .. m.destination_raw .. affinity[1].raw }
	elseif m.type == 4 or m.type == 5 or m.type == 131 or m.type == 6 then
		if cookie and cookie[1].data ~= "" then keys[1] = "cookie" .. id .. m.destination_raw .. cookie[1].data end
		if flow then keys[#keys + 1] = "flow" .. id .. m.destination_raw .. flow[1].key end
	end
	return keys
end

-- Keys of what a message answers, the best first.
local function answers(m)
	local id, keys = m.destination_raw, {}
	local affinity = m.found[1] or m.found[2]
	local cookie, token = m.found[8], m.found[132]
	if m.type == 130 and m.found[130] then
		keys = { "nonce" .. id .. m.found[130][1].nonce }
	elseif m.type == 133 and token then
		keys = { "listing" .. id .. m.source_raw .. token[1].token }
	elseif m.type == 3 and affinity then
		keys = { "update" .. id .. m.source_raw .. affinity[1].raw,
			"update" .. id .. string.rep("\0", 8) .. affinity[1].raw }
	elseif m.type == 2 or m.type == 6 then
		if cookie and cookie[1].data ~= "" then keys[1] = "cookie" .. id .. m.source_raw .. cookie[1].data end
		if m.found[2] then keys[#keys + 1] = "flow" .. id .. m.source_raw .. m.found[2][1].key end
	end
	return keys
end

local function link(m, pinfo, tree)
	local frame = pinfo.number
	if not pinfo.visited then
		for _, key in ipairs(answers(m)) do
			local request = requests[key]
			if request and request.frame ~= frame and not request_of[frame] then
				request_of[frame] = request
				answer_of[request.frame] = answer_of[request.frame] or frame
			end
		end
		for _, key in ipairs(asks(m)) do requests[key] = { frame = frame, time = pinfo.rel_ts } end
	end
	local request = request_of[frame]
	if request then
		tree:add(F.request_in, request.frame):set_generated()
		local passed = math.max(0, pinfo.rel_ts - request.time)
		local seconds = math.floor(passed)
		tree:add(F.time, NSTime.new(seconds, math.floor((passed - seconds) * 1e9 + 0.5))):set_generated()
	end
	if answer_of[frame] then tree:add(F.answer_in, answer_of[frame]):set_generated() end
end

-- ---- rules between segments: those marked † in section 6 ----

local function check_actions(found)
	local affinity = (found[2] or found[1] or {})[1]
	if not affinity then return end
	local drops = bit32.btest(affinity.flags, 1) and not (affinity.forward and not is_zero(affinity.forward.raw))
	for _, n in ipairs(found[10] or {}) do
		for _, address in ipairs({ n.src or false, n.dst or false }) do
			if address and address.family ~= affinity.family then
				fault(n.tree, "contradiction", "NAT address of another family")
			end
		end
		if n.ports and not has_ports(affinity.proto) then
			fault(n.tree, "contradiction", "NAT of ports without protocol 6 or 17")
		end
	end
	for _, a in ipairs(found[11] or {}) do
		if a.address and a.address.family ~= affinity.family then
			fault(a.tree, "contradiction", "advertised address of another family")
		elseif not a.address and affinity.dst_mask and not select(2, prefix_of(affinity.dst_mask)) then
			fault(a.tree, "contradiction", "the wildcard's destination mask is no prefix")
		end
	end
	for _, s in ipairs(found[12] or {}) do
		if affinity.proto ~= TCP then fault(s.tree, "contradiction", "sequence adjust without protocol 6") end
	end
	for _, t in ipairs(found[129] or {}) do
		if not bit32.btest(affinity.flags, 1) then fault(t.tree, "contradiction", "tunnel without dispatch") end
	end
	for _, j in ipairs(found[133] or {}) do
		if not drops then fault(j.tree, "contradiction", "reject of what is not dropped") end
	end
end

local function check_ranges(found)
	local wild = found[1] and found[1][1]
	if not wild or not found[128] then return end
	for _, one in ipairs(found[128][1].items) do
		if one.kind <= 2 then
			if is_ones(one.kind == 1 and wild.src_mask or wild.dst_mask) then
				fault(one.item, "contradiction", "range of an address whose mask is all ones")
			end
		elseif not has_ports(wild.proto) or (one.kind == 3 and wild.sport or wild.dport) ~= 0 then
			fault(one.item, "contradiction", "range of a port that is given, or not there")
		end
	end
end

local function check_whole(m, tree)
	local found, seen = m.found, m.seen
	for _, kind in ipairs(ALLOWED[m.type].must) do
		if not seen[kind] then fault(tree, "missing", "no segment " .. kind .. ", " .. SEGMENTS[kind]) end
	end
	local listing = found[132] and found[132][1]
	if m.type == 133 and listing and not listing.last and not seen[1] and not seen[2] then
		fault(tree, "missing", "neither wildcard nor fixed")
	end
	if m.type == 133 and listing and listing.last then
		for kind in pairs(seen) do
			if SEGMENTS[kind] and kind ~= 6 and kind ~= 132 and kind ~= 9 then
				fault(listing.tree, "contradiction", "end of the listing with " .. SEGMENTS[kind])
			end
		end
	end
	if m.type == 132 and listing and listing.last then fault(listing.tree, "contradiction", "ask with the end flag") end
	if seen[1] and seen[2] then fault(tree, "contradiction", "wildcard and fixed in one message") end
	if seen[11] and not seen[1] then fault(tree, "contradiction", "advertise without a wildcard") end
	if m.type == 129 and found[130] and found[130][1].group_sequence ~= UInt64(0) then
		fault(found[130][1].item, "contradiction", "group sequence in a challenge")
	end
	check_ranges(found)
	check_actions(found)
	if m.type == 3 and found[14] and found[14][1].empty and (not found[131] or found[131][1].code == 1) then
		fault(found[14][1].tree, "contradiction", "deny of nothing")
	end
	for _, kind in ipairs({ 2, 3 }) do
		local packet = found[15] and found[15][1]
		if packet and packet.family and found[kind] and found[kind][1].family ~= packet.family then
			fault(packet.tree, "contradiction", "packet of another family")
		end
	end
end

-- ---- header and segments ----

local function dissect_header(m, tvb, tree)
	local function add(name, at, size)
		return tree:add(F[name], tvb(at, size))
	end
	local item = add("type", 1, 1)
	m.type = tvb(1, 1):uint()
	if not MESSAGES[m.type] then fault(item, "type", "unknown message type " .. m.type) end
	item = add("length", 2, 2)
	m.length = tvb(2, 2):uint()
	local size = tvb:reported_len()
	if m.length < HEADER then fault(item, "short", "length " .. m.length .. " is less than a header's") end
	if m.length > size then fault(item, "short", size .. " of " .. m.length .. " bytes") end
	if m.length < size then fault(item, "long", size - m.length .. " bytes after the end") end
	if size > LARGEST then fault(item, "long", "more than 65507 bytes") end
	item = add("zero", 4, 4)
	if tvb(4, 4):uint() ~= 0 then fault(item, "header", "bytes 4 to 7 are not zero") end
	m.source_raw, m.destination_raw = tvb(8, 8):raw(), tvb(24, 8):raw()
	m.source, m.destination = tostring(tvb(8, 8):uint64():tohex()), tostring(tvb(24, 8):uint64():tohex())
	for i, name in ipairs({ "source", "incarnation", "destination", "sequence" }) do
		local at = 8 * i
		item = add(name, at, 8)
		local zero = is_zero(tvb(at, 8):raw())
		if name == "destination" then
			if zero then item:append_text(" (anybody)") end
			if zero and ALLOWED[m.type] and not ALLOWED[m.type].anybody then
				fault(item, "header", "destination 0 in this type")
			end
		elseif zero then
			fault(item, "header", name .. " is zero")
		end
	end
end

local function allowed(m, kind)
	for _, list in ipairs({ ALLOWED[m.type].must, ALLOWED[m.type].may, { 6 } }) do
		for _, one in ipairs(list) do
			if one == kind then return true end
		end
	end
	return false
end

-- Rules about a segment's place and number.
local function check_place(m, kind, at, tree)
	local count = (m.seen[kind] or 0) + 1
	m.seen[kind] = count
	if m.seen[15] and not (kind == 15 and count == 1) then fault(tree, "order", "IP packet is not last") end
	if not SEGMENTS[kind] then return end
	if ALLOWED[m.type] and not allowed(m, kind) then
		fault(tree, "not-allowed", SEGMENTS[kind] .. " in this type")
	end
	if count > (REPEATED[kind] or 1) then fault(tree, "duplicate", "more than " .. (REPEATED[kind] or 1)) end
	if kind == 6 and at ~= HEADER then fault(tree, "order", "security is not first") end
	if kind == 128 and not m.seen[1] then fault(tree, "order", "ranges before the wildcard") end
end

local function dissect_body(m, kind, range, tvb, at, stop, tree)
	if not parse[kind] then
		if stop > at then tree:add(F.opaque, tvb(at, stop - at)) end
		return
	end
	local r = setmetatable({ tvb = tvb, at = at, stop = stop, tree = tree }, Reader)
	local good, result = pcall(parse[kind], r, m.found)
	if not good then
		if type(result) ~= "table" then error(result, 0) end
		fault(result.item or tree, result.fault, result.text)
		return
	end
	if r:left() > 0 then
		fault(tree:add(F.trailing, tvb(r.at, r:left())), "overlong", r:left() .. " bytes left over")
	end
	result.tree, result.raw = tree, range:raw()
	m.found[kind] = m.found[kind] or {}
	table.insert(m.found[kind], result)
	if result.words then tree:append_text(": " .. result.words) end
end

-- One segment at an offset; the offset of the next, or nil.
local function dissect_segment(m, tvb, at, stop, tree)
	if stop - at < SEGMENT_HEADER then
		fault(tree:add(F.trailing, tvb(at, stop - at)), "truncated", "segment header")
		return nil
	end
	local kind, size = tvb(at, 1):uint(), tvb(at + 2, 2):uint()
	local fits = at + SEGMENT_HEADER + size <= stop
	local last = fits and at + SEGMENT_HEADER + size or stop
	local item = tree:add(F.segment, tvb(at, last - at))
	item:set_text("Segment " .. kind .. ", " .. (SEGMENTS[kind] or "unknown"))
	local kind_item = item:add(F["segment.type"], tvb(at, 1))
	if kind == 0 then fault(kind_item, "value", "segment type 0") end
	local flags = tvb(at + 1, 1):uint()
	local flags_item = item:add(F["segment.flags"], tvb(at + 1, 1))
	for _, one in ipairs(SEGMENT_FLAGS) do flags_item:add(F[one], tvb(at + 1, 1)) end
	if bit32.band(flags, 0x7f) ~= 0 then fault(flags_item, "value", string.format("flags 0x%02x", flags)) end
	local length_item = item:add(F["segment.length"], tvb(at + 2, 2))
	if not fits then
		fault(length_item, "truncated", "the segment runs past the message")
		if last > at + SEGMENT_HEADER then
			item:add(F.opaque, tvb(at + SEGMENT_HEADER, last - at - SEGMENT_HEADER))
		end
		return nil
	end
	if kind ~= 0 and not SEGMENTS[kind] and flags >= REQUIRED then
		fault(item, "required", "segment of unknown type " .. kind)
	end
	check_place(m, kind, at, item)
	local from = at + SEGMENT_HEADER
	dissect_body(m, kind, size > 0 and tvb(from, size) or tvb(at, 4), tvb, from, last, item)
	return last
end

local ip4, ip6 = Dissector.get("ip"), Dissector.get("ipv6")

-- The packet inside.  Its dissectors write addresses and columns of the frame, which are put back.
local function dissect_packet(m, pinfo, tree)
	local packet = m.found[15] and m.found[15][1]
	if not packet or not packet.packet or not turnout.prefs.inner then return end
	local kept = {}
	for _, name in ipairs({ "src", "dst", "net_src", "net_dst", "src_port", "dst_port", "port_type" }) do
		local good, value = pcall(function() return pinfo[name] end)
		if good then kept[name] = value end
	end
	-- A packet that another dissector finds malformed raises an error here, and has said so in the tree.
	pcall(function() (packet.family == 4 and ip4 or ip6):call(packet.packet:tvb(), pinfo, tree) end)
	for name, value in pairs(kept) do pcall(function() pinfo[name] = value end) end
end

local function info_of(m)
	local words = { (MESSAGES[m.type] or "type " .. m.type):gsub("^%l", string.upper),
		string.format("0x%s > %s", m.source:gsub("^0+", ""),
			is_zero(m.destination_raw) and "anybody" or "0x" .. m.destination:gsub("^0+", "")) }
	for _, kind in ipairs({ 1, 2, 3, 131, 9 }) do
		local one = m.found[kind] and m.found[kind][1]
		if one and one.words then words[#words + 1] = one.words end
	end
	return table.concat(words, ", ")
end

function turnout.dissector(tvb, pinfo, parent)
	local size = tvb:len()
	if size == 0 then return 0 end
	pinfo.cols.protocol = "Turnout"
	local tree = parent:add(turnout, tvb(0, size))
	local item = tree:add(F.version, tvb(0, 1))
	if tvb(0, 1):uint() ~= 1 then
		fault(item, "version", "version " .. tvb(0, 1):uint())
		pinfo.cols.info = "Version " .. tvb(0, 1):uint() .. ", unknown"
		return size
	end
	if size < HEADER then
		if tvb:reported_len() > size then
			tree:add_proto_expert_info(E.cut)
		else
			fault(tree, "short", "no whole header")
		end
		pinfo.cols.info = "Short message"
		return size
	end
	local m = { found = {}, seen = {} }
	dissect_header(m, tvb, tree)
	local stop = math.min(size, math.max(m.length, HEADER))
	-- Of a type not known nothing is known, but its segments have the same form.
	local whole = tvb:reported_len() == size
	if not whole then
		tree:add_proto_expert_info(E.cut)
	end
	local at = HEADER
	while at and at < stop and (whole or stop - at >= SEGMENT_HEADER and
			at + SEGMENT_HEADER + tvb(at + 2, 2):uint() <= stop) do
		at = dissect_segment(m, tvb, at, stop, tree)
	end
	if stop < size then tree:add(F.trailing, tvb(stop, size - stop)) end
	local complete = whole and at and MESSAGES[m.type]
	if complete then check_whole(m, tree) end
	tree:append_text(", " .. (MESSAGES[m.type] or "unknown type"))
	if MESSAGES[m.type] then link(m, pinfo, tree) end
	dissect_packet(m, pinfo, parent)
	pinfo.cols.protocol = "Turnout"
	pinfo.cols.info:clear_fence()
	pinfo.cols.info = info_of(m)
	return size
end

local table_of_ports, registered = DissectorTable.get("udp.port"), turnout.prefs.ports
table_of_ports:add(registered, turnout)

function turnout.prefs_changed()
	if tostring(registered) == tostring(turnout.prefs.ports) then return end
	table_of_ports:remove(registered, turnout)
	registered = turnout.prefs.ports
	table_of_ports:add(registered, turnout)
end
