import { describe, expect, it } from 'vitest'

import { formatNetwork, isNetworkList, parseAddress, parseNetwork, senderNetwork } from './ip-address.ts'

const spelled = (text: string): string | undefined => {
  const network = parseNetwork(text)
  return network && formatNetwork(network)
}

describe('an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['192.0.2.77/24', '192.0.2.0/24'],
    ['192.0.2.1/32', '192.0.2.1'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:1:2:3:4:5:6/64', '2001:db8:1:2::/64'],
    ['2001:db8::/29', '2001:db8::/29'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('%s has the one spelling %s', (text, expected) => expect(spelled(text)).toBe(expected))

  it.each([
    '',
    'localhost',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.4/33',
    '1.2.3.4/-1',
    '1.2.3.4/8/8',
    '::1/129',
    '::ffff:1.2.3.4/96',
    '1.2.3.4:80',
    '[::1]',
  ])('%j is none', (text) => expect(parseNetwork(text)).toBeUndefined())

  it('of IPv6 counts as one sender with all others of its /64, one of IPv4 alone', () => {
    const sender = (text: string) => formatNetwork(senderNetwork(parseAddress(text)!))
    expect(sender('2001:db8:1:2:aaaa::1')).toBe('2001:db8:1:2::/64')
    expect(sender('2001:db8:1:2::ffff')).toBe('2001:db8:1:2::/64')
    expect(sender('2001:db8:1:3::1')).toBe('2001:db8:1:3::/64')
    expect(sender('192.0.2.1')).toBe('192.0.2.1')
  })
})

it('a list of networks is refused as a whole when one element is none', () => {
  expect(isNetworkList('127.0.0.1,10.0.0.0/8,::1')).toBe(true)
  for (const wrong of ['127.0.0.1,', 'true', '1', '10.0.0.0/8;::1', '127.0.0.1, ::1x', '0.0.0.0/0', '::/0']) {
    expect(isNetworkList(wrong)).toBe(false)
  }
})
