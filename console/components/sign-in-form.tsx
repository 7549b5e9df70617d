// Signing in: a pasted token, or in development a click.
import { useId, useState } from 'preact/hooks';
import { type ConsoleRole, signIn } from '../api/session.ts';
import { isDevelopment } from '../environment.ts';

const UNREACHABLE = 'The service cannot be reached.';
/** Three parts of letters and digits with two dots between. */
const SHAPE = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export function SignInForm() {
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const id = useId();
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!SHAPE.test(token.trim()))
      return setProblem('This is not a HomeChef token: it should be three parts of letters and digits with two dots between.');
    setBusy(true);
    setProblem((await signIn(token).catch(() => UNREACHABLE)) ?? '');
    setBusy(false);
  };
  return (
    <>
      <form onSubmit={(event) => void submit(event)}>
        <label for={id}>Access token</label>
        <textarea
          id={id}
          class="mono"
          rows={4}
          value={token}
          spellcheck={false}
          autocomplete="off"
          aria-describedby={`${id}-error`}
          aria-invalid={problem !== ''}
          placeholder="eyJhbGciOi…"
          onInput={(event) => {
            setToken(event.currentTarget.value);
            setProblem('');
          }}
        />
        <p id={`${id}-error`} class="field-error" role="alert">
          {problem}
        </p>
        <button class="button primary wide" type="submit" disabled={busy || token.trim() === ''}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        <p class="hint">
          For all tabs of this browser, until the token ends or you sign out. No script of this page can read the token then.
        </p>
      </form>
      {isDevelopment && <DevelopmentSignIn />}
    </>
  );
}

/** Exists only where the service mints tokens for every user: in development. */
function DevelopmentSignIn() {
  const [problem, setProblem] = useState('');
  const enter = async (role: ConsoleRole) => {
    try {
      const answer = await fetch(`/console/dev-token?role=${role}`);
      const body: unknown = await answer.json();
      const token = typeof body === 'object' && body !== null && 'token' in body ? String(body.token) : '';
      setProblem(answer.ok ? ((await signIn(token)) ?? '') : 'The service did not hand out a token.');
    } catch {
      setProblem(UNREACHABLE);
    }
  };
  return (
    <section class="sign-in-development">
      <h2>Development</h2>
      <p class="hint">This service runs in development, so it signs anybody in.</p>
      <div class="button-row">
        <button type="button" class="button" onClick={() => void enter('developer')}>
          As a developer
        </button>
        <button type="button" class="button" onClick={() => void enter('admin')}>
          As an operator
        </button>
      </div>
      <p class="field-error" role="alert">
        {problem}
      </p>
    </section>
  );
}
