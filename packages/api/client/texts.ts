/** Every text comes with the page, in its language: none is written here. */

export type Texts = ReadonlyMap<string, string>

/** The entries of a template by one of their attributes. */
export function readTexts(template: Element | null, attribute: string): Texts {
  const entries =
    template instanceof HTMLTemplateElement ? template.content.querySelectorAll(`[data-${attribute}]`) : []
  return new Map(
    Array.from(entries, (entry) => [entry.getAttribute(`data-${attribute}`) ?? '', entry.textContent ?? '']),
  )
}

const texts = readTexts(document.querySelector('#client-texts'), 'key')

export function text(key: string, values: Record<string, string | number> = {}): string {
  return fill(texts.get(key) ?? '', values)
}

export function fill(message: string, values: Record<string, string | number>): string {
  return message.replaceAll(/\{(\w+)\}/g, (placeholder, name: string) => String(values[name] ?? placeholder))
}
