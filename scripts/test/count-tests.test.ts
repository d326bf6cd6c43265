import { describe, expect, it } from 'vitest'

import { countTests } from './count-tests.ts'

const clean = {
  success: true,
  numPassedTests: 3,
  numFailedTests: 0,
  numPendingTests: 1,
  numTodoTests: 0,
  testResults: [
    {
      status: 'passed',
      assertionResults: [
        { status: 'passed', fullName: 'hosts sell' },
        { status: 'skipped', fullName: 'hosts (needs root) go on' },
      ],
    },
  ],
}

describe('the counts of a test run', () => {
  it('are those of the report, with the names of what was left out', () => {
    expect(countTests(clean, 0)).toEqual({
      passed: 3,
      failed: 0,
      skipped: 1,
      skippedNames: ['hosts (needs root) go on'],
    })
  })

  it('show a file that could not be loaded as a failure', () => {
    const broken = {
      ...clean,
      success: false,
      testResults: [...clean.testResults, { status: 'failed', assertionResults: [] }],
    }
    expect(countTests(broken, 1).failed).toBe(1)
  })

  it('show a run that ended badly as a failure even when no test failed', () => {
    expect(countTests(clean, 1).failed).toBe(1)
    expect(countTests(undefined, 0).failed).toBe(1)
  })
})
