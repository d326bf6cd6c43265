import type { IncomingHttpHeaders } from 'node:http'

/** Of a request what it takes to say no to it. */
export interface RequestHead {
  method?: string | undefined
  url?: string | undefined
  headers: Pick<IncomingHttpHeaders, 'accept' | 'accept-language' | 'cookie'>
}

const READ = /^(accept|accept-language|cookie):[ \t]*(.*)$/i

/**
 * Of a request that no HTTP parser has seen.
 *
 * @returns undefined unless the head is there whole and is one of HTTP/1.1: the parser says what it is
 */
export function readRequestHead(bytes: Buffer): RequestHead | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const [method, url, version] = first.split(' ')
  if (version !== 'HTTP/1.1') return undefined
  const headers: RequestHead['headers'] = {}
  for (const line of lines) {
    const [, name, value] = READ.exec(line) ?? []
    if (name && value !== undefined) headers[name.toLowerCase() as keyof typeof headers] = value
  }
  return { method, url, headers }
}

export function wantsPage({ url = '', headers }: RequestHead): boolean {
  return !url.startsWith('/api/') && (headers.accept ?? '').includes('text/html')
}
