// Which filters are taken, and what is said about the others.
import { describe, expect, test } from 'vitest';
import { faultOfFilter, MAX_FILTER_LENGTH } from '../../src/domain/payload-filter.ts';

test.each([
  '$.total_amount > 50',
  '$.total_amount > 50 && $.city == "Berlin"',
  '$.city == "Berlin" || $.city == "Paris"',
  '!($.status == "cancelled")',
  '! exists($.coupon)',
  'exists($.items[*] ? (@.quantity >= 10 && @.price < 2.5e1))',
  '$.items[*].name starts with "Soup"',
  '($.tip / $.total_amount) > 0.1',
  'strict $.billing_city == $.city',
  'strict exists($.items[*] ? (@.price > $.limit))',
  '($.age > 18) is unknown',
  '$.items.size() > 3',
  '$.items[0 to 3].price == 1',
  '$.items[last - 1].price == -1',
  '$."first name" == "\\u00e9\\n"',
  '$.größe == null',
  'LAX $.paid == true && Exists($.x)',
  '$.*.price > 1',
  '-$.balance > 0',
  '((($.a) == (1)))',
])('%s is a filter', (filter) => {
  expect(faultOfFilter(filter)).toBeNull();
});

test.each<[string, number, RegExp]>([
  ['', 1, /a condition is missing/],
  ['lax', 4, /a condition is missing/],
  ['$.paid', 1, /neither true nor false/],
  ['$.a == 1 && $.paid', 13, /&& needs conditions/],
  ['$.a = 1', 5, /equality is written ==/],
  ['$.a == 1 and $.b == 2', 10, /and is written &&/],
  ["$.city == 'Berlin'", 11, /double quotes/],
  ['$.city == "Berlin', 11, /not closed/],
  ['city == "Berlin"', 1, /a path such as/],
  ['$city == "Berlin"', 1, /no variables/],
  ['@.price > 1', 1, /inside of \? \(…\) alone/],
  ['$.a == 1 == true', 10, /where the end/],
  ['$.a ==', 7, /the filter ends/],
  ['($.a == 1', 10, /"\)" is expected/],
  ['!$.a == 1', 2, /stands in parentheses/],
  ['$.1st == 1', 3, /begins with a digit/],
  ['$.a == 01', 8, /as in JSON/],
  ['$.a == 1e1000', 8, /as in JSON/],
  ['$.a == "\\u0000"', 8, /u0000/],
  ['$.a == "\\ud800"', 8, /surrogate/],
  ['$.a[1, 1] == 1', 6, /several items by number/],
  ['$.a[-1] == 1', 5, /number of an item/],
  ['$.a[$.n] == 1', 5, /number of an item/],
  ['$.name like_regex "^a"', 8, /like_regex is not supported/],
  ['$.**.price > 1', 3, /name the fields on the way/],
  ['$.**{2}.price > 1', 3, /./],
  ['$.a.keyvalue().key == "x"', 5, /keyvalue\(\) is not supported/],
  ['$.at.datetime() > 1', 6, /compare as texts/],
  ['$.a.reverse() == 1', 5, /type\(\), size\(\)/],
  ['$.a /* comment */ == 1', 6, /a path such as/],
  ['"😀" == $.a == 1', 12, /where the end/],
])('%j is refused at character %i', (filter, position, message) => {
  expect(faultOfFilter(filter)).toEqual({ position, message: expect.stringMatching(message) });
});

describe('a filter whose work could grow faster than the payload is refused:', () => {
  test.each<[string, number]>([
    ['$.a == $.b', 5],
    ['$.a[*] == $.b[*]', 8],
    ['strict $.a[*] == $.b[*]', 15],
    ['strict $.a[0 to 9] == $.*', 20],
    ['-$.a < $.b', 6],
    ['$.a[*] ? ($.b == 1) == 2', 11],
    ['$.a[*] ? (($).b == 1) == 2', 11],
    ['$.a[*] ? ($.b - 1 > 0) == 2', 11],
    ['strict $.a[*] ? ($.b[*] == 1) == 2', 18],
  ])('%s', (filter, position) => {
    expect(faultOfFilter(filter)?.position).toBe(position);
  });

  test('one that is too long, or asks too much', () => {
    expect(faultOfFilter(`$.a == "${'x'.repeat(MAX_FILTER_LENGTH)}"`)).toMatchObject({ position: MAX_FILTER_LENGTH + 1 });
    const conditions = (count: number): string => Array.from({ length: count }, () => '$.a == 1').join(' || ');
    expect(faultOfFilter(conditions(20))).toBeNull();
    expect(faultOfFilter(conditions(21))?.message).toMatch(/20 comparisons/);
  });

  test('one that is nested too deeply', () => {
    const nested = (levels: number): string => `${'('.repeat(levels)}$.a == 1${')'.repeat(levels)}`;
    expect(faultOfFilter(nested(31))).toBeNull();
    for (const filter of [nested(32), nested(490), '('.repeat(1000), '!('.repeat(500), '['.repeat(1000)])
      expect(faultOfFilter(filter)).not.toBeNull();
  });
});
