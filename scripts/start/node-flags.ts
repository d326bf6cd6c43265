/**
 * How Node runs every process of ours.
 *
 * Requests that wait for their batch are young objects that live: with the default of 16 MiB the collector copies them
 * again and again (docs/decisions/0020).
 */
export const NODE_FLAGS: readonly string[] = ['--enable-source-maps', '--max-semi-space-size=64']
