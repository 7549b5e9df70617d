// What surrounds every page: the rail of places to go, who is signed in, and the colours.
import type { ComponentChildren } from 'preact';
import { nowMs } from '../clock.ts';
import { session, signOut } from '../api/session.ts';
import { span } from '../format/time.ts';
import { address } from '../router.ts';
import { chooseTheme, theme, type Theme } from '../theme.ts';
import { chooseZone, zone, type Zone } from '../zone.ts';
import { CopyPage } from './copy-page.tsx';
import { LookUp } from './look-up.tsx';

/** From when on the rail says that the session is about to end. */
const EXPIRY_NOTICE_MS = 5 * 60_000;

const places = [
  { href: '/', label: 'Overview', icon: 'M3 13h3V7H3zM8.5 13h3V3h-3zM14 13h3V9h-3zM2 17h16' },
  { href: '/live', label: 'Live', icon: 'M2 10h3.5l2-5.5 4 11 2.2-5.5H18' },
  { href: '/webhooks', label: 'Webhooks', icon: 'M6 3v8a4 4 0 0 0 8 0V9.5M11 12l3-3 3 3' },
  { href: '/deliveries', label: 'Deliveries', icon: 'M4 3h12v14l-2-1.4-2 1.4-2-1.4L8 17l-2-1.4L4 17zM7 7h6M7 10.5h6' },
  { href: '/event-types', label: 'Event types', icon: 'M4 4h12v4H4zM4 12h12v4H4zM7 6h.01M7 14h.01' },
  { href: '/verify', label: 'Verify', icon: 'M10 2.5 16 5v5c0 3.8-2.6 6.3-6 7.5-3.4-1.2-6-3.7-6-7.5V5zM7.2 10l2 2 3.6-4' },
] as const;

const themes: readonly { value: Theme; label: string }[] = [
  { value: 'system', label: 'Auto' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

const zones: readonly { value: Zone; label: string }[] = [
  { value: 'local', label: 'Local time' },
  { value: 'utc', label: 'UTC' },
];

export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = address.value;
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="rail">
        <a class="brand" href="/">
          <Mark />
          <span>
            HomeChef <b>Webhooks</b>
          </span>
        </a>
        <LookUp />
        <nav class="places" aria-label="Main">
          {places.map((place) => {
            const current = place.href === '/' ? path === '/' : path === place.href || path.startsWith(`${place.href}/`);
            return (
              <a key={place.href} href={place.href} aria-current={current ? 'page' : undefined}>
                <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
                  <path d={place.icon} />
                </svg>
                {place.label}
              </a>
            );
          })}
        </nav>
        <div class="rail-foot">
          <a class="reference" href="/docs" data-reload>
            API reference
          </a>
          <Account />
          <Choice label="Times" name="zone" items={zones} chosen={zone.value} choose={chooseZone} />
          <Choice label="Colours" name="theme" items={themes} chosen={theme.value} choose={chooseTheme} />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
        <CopyPage />
      </main>
    </div>
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly name: string;
  readonly items: readonly { readonly value: T; readonly label: string }[];
  readonly chosen: T;
  readonly choose: (value: T) => void;
}

function Choice<T extends string>({ label, name, items, chosen, choose }: ChoiceProps<T>) {
  return (
    <fieldset class="choice">
      <legend class="visually-hidden">{label}</legend>
      {items.map((item) => (
        <label key={item.value}>
          <input type="radio" name={name} checked={chosen === item.value} onChange={() => choose(item.value)} />
          <span>{item.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Account() {
  const signedIn = session.value;
  if (signedIn === null) return null;
  const leftMs = signedIn.expiresAtMs - nowMs.value;
  return (
    <div class="account">
      <div class="account-who">
        <b title={signedIn.userId}>{signedIn.userId}</b>
        <span>{leftMs < EXPIRY_NOTICE_MS ? `session ends in ${span(leftMs)}` : signedIn.role}</span>
      </div>
      <button type="button" class="button quiet" onClick={signOut}>
        Sign out
      </button>
    </div>
  );
}

/** An order ticket with a hook through it. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true">
      <path class="mark-ticket" d="M5 2h22v26l-2.75-2-2.75 2-2.75-2-2.75 2-2.75-2-2.75 2-2.75-2L5 28z" />
      <path class="mark-hook" d="M12 8v9a4.5 4.5 0 0 0 9 0v-1.5M18 18l3-3 3 3" />
    </svg>
  );
}
