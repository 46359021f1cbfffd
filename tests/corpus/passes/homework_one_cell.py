"""A student in a hurry, at top level and all in one cell: embeddings of three words, a learnt mix of them, two layers, several statements on a line, +=, np.add.at, out=."""
# %% gradcheck
import numpy as np
np.random.seed(99)
V=9; d=3; H=5; C=4; N=13; reg=0.03
ctx=np.random.randint(0,V,(N,3)); tgt=np.random.randint(0,C,N)   # 3 context words -> class
E=np.random.randn(V,d)*0.8; mix=np.array([0.5,0.9,-0.4])
W1=np.random.randn(d,H)*0.9; b1=np.random.randn(H)*0.1
W2=np.random.randn(H,C)*0.9; b2=np.zeros(C)
params=[E,mix,W1,b1,W2,b2]

def cost_function(params):
    E,mix,W1,b1,W2,b2=params
    v=(E[ctx]*mix[None,:,None]).sum(1)
    a=v@W1+b1; h=a/np.sqrt(1+a*a)
    s=h@W2+b2
    lse=np.log(np.exp(s).sum(1))
    return (lse-s[np.arange(N),tgt]).mean()+reg*((W1**2).sum()+(W2**2).sum())+reg/2*(E**2).sum()

# what do we start with?
print('cost',cost_function(params)); print('chance',np.log(C))

# ---- forward again, keep everything
e=E[ctx]; v=(e*mix[None,:,None]).sum(1)
a=v@W1+b1; r=1/np.sqrt(1+a*a); h=a*r
s=h@W2+b2; p=np.exp(s); p/=p.sum(1,keepdims=True)
#! s=h@W2+b2; p=np.exp(s); p/=p.sum(0,keepdims=True)
acc=(p.argmax(1)==tgt).mean()
print('accuracy',acc)

# ---- backward
ds=p.copy(); ds[np.arange(N),tgt]-=1
#! ds=p.copy(); ds[:,tgt]-=1
ds/=N
#! ds/=C
dW2=np.zeros_like(W2); db2=np.zeros_like(b2)
np.dot(h.T,ds,out=dW2); np.sum(ds,axis=0,out=db2)
#! np.dot(a.T,ds,out=dW2); np.sum(ds,axis=0,out=db2)
#! np.dot(h.T,ds,out=dW2); np.mean(ds,axis=0,out=db2)
dW2+=2*reg*W2; dh=ds@W2.T
#! dW2+=reg*W2; dh=ds@W2.T
da=np.empty_like(a); np.multiply(dh,r**3,out=da)
#! da=np.empty_like(a); np.multiply(dh,r**2,out=da)
#! da=np.empty_like(a); np.multiply(dh,r,out=da)
dW1=v.T@da; db1=da.sum(0); dW1+=2*reg*W1
#! dW1=v.T@da; db1=da.sum(0); dW1=2*reg*W1
dv=da@W1.T; dmix=np.zeros(3); dE=np.zeros_like(E)
#! dv=dh@W1.T; dmix=np.zeros(3); dE=np.zeros_like(E)
for j in range(3):
#! for j in range(1,3):
    dmix[j]+=(dv*e[:,j]).sum()
    #! dmix[j]+=(dv*v).sum()
    np.add.at(dE,ctx[:,j],dv*mix[j])
    #! np.add.at(dE,ctx[:,j],dv)
    #! dE[ctx[:,j]]+=dv*mix[j]

# do not forget the L2 of the embeddings!!
dE+=reg*E

grads=[dE,dmix,dW1,db1,dW2,db2]
for name,g in zip(['E','mix','W1','b1','W2','b2'],grads): print(name,g.shape,np.abs(g).max())
