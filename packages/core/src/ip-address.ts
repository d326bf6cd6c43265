import { isIP } from 'node:net'

import ipaddr from 'ipaddr.js'

/** An address as a number of its family's width; one that is IPv4 inside IPv6 (::ffff:…) is the IPv4 address. */
export type IpAddress = { family: 4; value: number } | { family: 6; value: bigint }

/** All addresses that begin with the same `prefix` bits; the others are zero. */
export type IpNetwork = IpAddress & { prefix: number }

const BITS = { 4: 32, 6: 128 } as const
/** What one customer of a provider has at least, and so what counts as one sender. */
const IPV6_SENDER_PREFIX = 64

export function parseAddress(text: string): IpAddress | undefined {
  switch (isIP(text)) {
    case 4:
      return { family: 4, value: valueOfIpv4(text) }
    case 6: {
      const address = ipaddr.IPv6.parse(text)
      return address.isIPv4MappedAddress()
        ? { family: 4, value: valueOfIpv4(address.toIPv4Address().toString()) }
        : { family: 6, value: valueOfIpv6(address.parts) }
    }
    default:
      return undefined
  }
}

/** An address or a CIDR range (`2001:db8::/32`); bits behind the prefix are taken as zero. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const [address = '', length, ...rest] = text.split('/')
  const parsed = parseAddress(address)
  if (!parsed || rest.length > 0) return undefined
  const bits = BITS[parsed.family]
  if (length === undefined) return { ...parsed, prefix: bits }
  // A prefix of the mapped spelling would count bits of the other family.
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits || (parsed.family === 4 && address.includes(':'))) {
    return undefined
  }
  return cut(parsed, Number(length))
}

/** Who sends from this address, as far as an address tells: the address itself, or the /64 around an IPv6 one. */
export function senderNetwork(address: IpAddress): IpNetwork {
  return address.family === 4 ? { ...address, prefix: 32 } : cut(address, IPV6_SENDER_PREFIX)
}

/** The one spelling of a network: `192.0.2.0/24`, `2001:db8::/64`, and a single address without its length. */
export function formatNetwork(network: IpNetwork): string {
  const text = network.family === 4 ? textOfIpv4(network.value) : textOfIpv6(network.value)
  return network.prefix === BITS[network.family] ? text : `${text}/${network.prefix}`
}

/** A comma-separated list of addresses and ranges, as a setting; a range of everybody is none. */
export function isNetworkList(text: string): boolean {
  return text.split(',').every((element) => (parseNetwork(element)?.prefix ?? 0) > 0)
}

function cut(address: IpAddress, prefix: number): IpNetwork {
  if (address.family === 4) {
    const size = 2 ** (32 - prefix)
    return { family: 4, value: Math.floor(address.value / size) * size, prefix }
  }
  const shift = BigInt(128 - prefix)
  return { family: 6, value: (address.value >> shift) << shift, prefix }
}

function valueOfIpv4(text: string): number {
  let value = 0
  for (const octet of text.split('.')) value = value * 256 + Number(octet)
  return value
}

function valueOfIpv6(parts: number[]): bigint {
  let value = 0n
  for (let at = 0; at < 8; at += 2) {
    value = (value << 32n) | BigInt((parts[at] as number) * 0x1_0000 + (parts[at + 1] as number))
  }
  return value
}

function textOfIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.')
}

function textOfIpv6(value: bigint): string {
  const parts = Array.from({ length: 8 }, (_, at) => Number((value >> BigInt(112 - 16 * at)) & 0xffffn))
  return new ipaddr.IPv6(parts).toRFC5952String()
}
