import { formatNetwork, type IpNetwork } from '../ip-address.ts'

/** Who is on the blacklist, as one text: `user:7`, `phone:+8613800138000`, `network:192.0.2.0/24`. */
export type Subject = `user:${number}` | `phone:${string}` | `network:${string}`

export const userSubject = (userId: number): Subject => `user:${userId}`
/** @param e164 as parsePhone spells it: there is one key per number. */
export const phoneSubject = (e164: string): Subject => `phone:${e164}`
export const networkSubject = (network: IpNetwork): Subject => `network:${formatNetwork(network)}`
