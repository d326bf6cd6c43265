/** Measured in turn, in every round, each next to the `bare` of its own round. */
export const COMPARED = /** @type {const} */ ([
  'bare',
  'sold-out',
  'buy',
  'buy-cold',
  'buy-placing',
  'browse',
  'redlock',
  'for-update',
  'message-each',
])

/** Each measured by itself. */
export const STUDIES = /** @type {const} */ (['scarce', 'gate', 'storm', 'journey', 'scale', 'overload'])
