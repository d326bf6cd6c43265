/** Each shopper sits somewhere else: from one address the limits would stop them, as they should. */
export function addressOf(shopper: number): string {
  return `10.${(shopper >> 16) & 255}.${(shopper >> 8) & 255}.${shopper & 255}`
}
