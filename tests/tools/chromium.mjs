// Chromium does what a person does: node chromium.mjs MODULES FOLDER ADDRESS USER [CODE]
// Opens ADDRESS, signs in with the provider `corp` as USER, with SAML_PASSWORD of the environment at SimpleSAMLphp, or with PASSWORD as a local
// user, types CODE where one is asked for, checks what pages have to have, and confirms. Pictures of every page of the gateway go to FOLDER. Prints the last page's address and text as JSON.
import { createRequire } from 'node:module';
import { mkdirSync } from 'node:fs';

const [modules, folder, address, user, code] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)('playwright-core');
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const faults = [];
// A browser notes it as an error that it was told no.
const refusals = { expected: false };
try {
  // The gateway's private authority is not the browser's; everything else is as usual.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 900, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  // Of our own pages; the provider's want fonts from elsewhere, and browsers want an icon from everybody.
  page.on('console', (message) => {
    const from = message.location().url;
    const ours = from.startsWith(new URL(address).origin) && !from.endsWith('/favicon.ico');
    const told = refusals.expected && message.text().includes('403');
    if (message.type() === 'error' && ours && !told) faults.push(`${from}: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  let shots = 0;
  // What somebody who cannot see the page, or uses no mouse, needs of it.
  const look = async (name) => {
    await page.screenshot({ path: `${folder}/${String(++shots).padStart(2, '0')}-${name}.png`, fullPage: true });
    const found = await page.evaluate(() => ({
      language: document.documentElement.lang,
      headings: document.querySelectorAll('h1').length,
      unnamed: [...document.querySelectorAll('input:not([type=hidden]), button, a')]
        .filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).length,
      wide: document.documentElement.scrollWidth > window.innerWidth,
      styled: getComputedStyle(document.querySelector('main')).maxWidth !== 'none',
    }));
    if (found.language !== 'en' || found.headings !== 1 || found.unnamed || found.wide || !found.styled) {
      faults.push(`${name}: ${JSON.stringify(found)}`);
    }
  };
  await page.goto(address);
  await look('sign-in');
  if (process.env.PASSWORD) {
    const signIn = async (password) => {
      await page.getByLabel('User name').fill(user);
      await page.getByLabel('Password').fill(password);
      await page.keyboard.press('Enter');
    };
    refusals.expected = true;
    await signIn('a password that is not theirs');
    await page.getByRole('alert').waitFor();
    await look('wrong-password');
    refusals.expected = false;
    await signIn(process.env.PASSWORD);
  } else if (process.env.SAML_PASSWORD) {
    await page.getByRole('link', { name: 'Sign in with corp' }).click();
    await page.locator('[name=username]').fill(user);
    await page.locator('[name=password]').fill(process.env.SAML_PASSWORD);
    // What it answers is posted here by a page of its own, from another site.
    await page.keyboard.press('Enter');
  } else {
    await page.getByRole('link', { name: 'Sign in with corp' }).click();
    await page.locator('[name=login]').fill(user);
    await page.locator('[name=password]').fill('anything');
    await page.locator('button[type=submit]').click();
    // The provider asks once more whether it may tell.
    await page.locator('button[type=submit]').click();
  }
  if (code) {
    await look('device');
    await page.getByLabel('The code that your device shows').fill(code);
    await page.keyboard.press('Enter');
  }
  await page.getByRole('button', { name: 'Log in' }).waitFor();
  await look('confirm');
  await page.setViewportSize({ width: 360, height: 740 });
  await look('confirm-narrow');
  await page.emulateMedia({ colorScheme: 'dark' });
  await look('confirm-dark');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('status').waitFor();
  await page.screenshot({ path: `${folder}/${++shots}-done.png` });
  const cookies = await context.cookies();
  console.log(JSON.stringify({ url: page.url(), text: await page.locator('body').innerText(), cookies, faults }));
} finally {
  await browser.close();
}
