(d=>{let h=d.documentElement,s={};try{s=localStorage}catch{}h.className="on";h.dataset.theme=s.theme||"";
d.addEventListener("click",e=>{if(e.target.closest(".theme"))s.theme=h.dataset.theme={"":"light",light:"dark"}[h.dataset.theme]||""})})(document);
