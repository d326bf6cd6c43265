/** What one look at the system came to. */
export interface Finding {
  check: string
  /** `warn` is worth knowing before a sale; `fail` loses orders or sells twice. */
  verdict: 'ok' | 'warn' | 'fail'
  found: string
  /** What to do; nothing where all is well. */
  advice?: string
}

export function judge(
  check: string,
  isRight: boolean,
  found: string,
  advice: string,
  otherwise: 'warn' | 'fail' = 'fail',
): Finding {
  return isRight ? { check, verdict: 'ok', found } : { check, verdict: otherwise, found, advice }
}
