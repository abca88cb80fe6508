// at.mjs - the page of a server that runs already: the demo model loads in the tab and answers.
// URL=http://... node tests/web/at.mjs
import { ANSWER, ask, browser, DATE, equal, finish, loaded, open, QUESTION, ready, test }
  from "./harness.mjs";

const cpu = await browser({ gpu: false });
await test("the page loads the demo model and answers", async () => {
  const page = await open(cpu.context, `${process.env.URL}/gptoss?date=${DATE}&backend=cpu&sample=0&greet=0`);
  await ready(page);
  await page.click("#load");
  await loaded(page);
  equal(await ask(page, QUESTION), ANSWER);
  page.quiet();
  await page.close();
});
await cpu.close();
finish();
