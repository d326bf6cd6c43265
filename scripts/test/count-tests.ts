/** What is read of the report that vitest's json reporter writes. */
interface JsonReport {
  success: boolean
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numTodoTests: number
  testResults: { status: string; assertionResults: { status: string; fullName: string }[] }[]
}

export interface TestCounts {
  passed: number
  failed: number
  skipped: number
  /** By name: what was not tested must be read by somebody. */
  skippedNames: string[]
}

/**
 * Counts what a run of vitest came to. Nothing that went wrong may count as nothing: a file that could not be
 * loaded has no tests to fail, and an error between tests belongs to none.
 */
export function countTests(report: JsonReport | undefined, exitCode: number): TestCounts {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0, skippedNames: [] }
  const brokenFiles = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  )
  const failed = report.numFailedTests + brokenFiles.length
  const failedUnseen = failed === 0 && (exitCode !== 0 || !report.success)
  return {
    passed: report.numPassedTests,
    failed: failedUnseen ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
    skippedNames: report.testResults.flatMap(({ assertionResults }) =>
      assertionResults
        .filter(({ status }) => status !== 'passed' && status !== 'failed')
        .map(({ fullName }) => fullName),
    ),
  }
}
